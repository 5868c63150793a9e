"""Exact metrics: one counting core, and pure functions of its counts.

``tables`` keeps an image as sorted scores, ``regions`` an image as atoms of its regions; ``pool`` turns the tables of
many images into ``counts``; ``pixel``, ``labels`` and ``variants`` are functions of counts; ``registry`` names them;
``bootstrap`` resamples images. ``direct.pixel_metrics`` goes from maps and masks to numbers in one call.
"""

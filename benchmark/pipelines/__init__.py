"""Pipelines: from an image to a prediction, one file each."""

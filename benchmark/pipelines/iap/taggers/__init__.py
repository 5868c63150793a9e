"""Taggers: what is seen on the good images of a category (conf/tagger)."""

"""Thin adapters around foundation models: build, load, run; one file a model."""

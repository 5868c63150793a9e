"""Weights files: what they are, where they lie, and that they are the right ones."""

from benchmark.weights.local import LocalWeights, custom, resolve, weights_root
from benchmark.weights.registry import Weights, WeightsFile, find, names

__all__ = ["LocalWeights", "Weights", "WeightsFile", "custom", "find", "names", "resolve", "weights_root"]

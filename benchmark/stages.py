"""Stages, and what they run in."""

from benchmark.artifacts import Artifact
from benchmark.context import Context, clear_models
from benchmark.stage import Inputs, Stage
from benchmark.stage_cache import StageStats
from benchmark.weights.used import WeightsUsed

__all__ = ["Artifact", "Context", "Inputs", "Stage", "StageStats", "WeightsUsed", "clear_models"]

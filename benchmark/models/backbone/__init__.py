"""Feature networks: one way to name one, and what every one of them offers to a pipeline."""

from benchmark.models.backbone.network import FeatureNetwork, Features
from benchmark.models.backbone.settings import Backbone

__all__ = ["Backbone", "FeatureNetwork", "Features"]

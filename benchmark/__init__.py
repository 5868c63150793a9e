"""A reproducible benchmark harness for foundation-model defect inspection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.api import Evaluated, ImageMaps, evaluate

__all__ = ["Evaluated", "ImageMaps", "evaluate"]


def __getattr__(name: str) -> Any:
    """Load what the package offers when it is asked for, so that ``import benchmark`` stays light."""
    if name in __all__:
        from benchmark import api

        return getattr(api, name)
    if name == "__version__":
        from importlib.metadata import version

        return version("fm-defect-bench")
    raise AttributeError(f"module 'benchmark' has no attribute {name!r}")

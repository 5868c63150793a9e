"""Protocols for tests: the committed presets, with single fields changed."""

from __future__ import annotations

from typing import Any

from benchmark.core.resources import CONF
from benchmark.scoring.protocol import Protocol
from tests.harness import option

__all__ = ["CONF", "protocol"]


def protocol(preset: str = "default", **changes: Any) -> Protocol:
    """Read an option of ``conf/protocol`` and change fields."""
    return Protocol.model_validate(option("protocol", preset, **changes))

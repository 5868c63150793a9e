"""Protocols for tests: the committed presets, with single fields changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from benchmark.protocol import Protocol

CONF = Path(__file__).resolve().parent.parent / "conf"


def protocol(preset: str = "default", **changes: Any) -> Protocol:
    """Read ``conf/protocol/<preset>.yaml`` and change fields."""
    fields = yaml.safe_load((CONF / "protocol" / f"{preset}.yaml").read_text())
    assert fields.pop("_target_") == "benchmark.protocol.Protocol"
    return Protocol.model_validate(fields | changes)

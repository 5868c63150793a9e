"""Modules with classes of options that stood elsewhere in earlier versions.

An option of one's own that names the old place is told the new one. A result goes on naming the old place: the config
that a run is named by must not change because a module moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOVED: dict[str, str] = {}
"""Old module to new."""


def new_place(target: str) -> str | None:
    """Return the class path that an old ``_target_`` has now; None where it names no place that was left."""
    module, _, name = target.rpartition(".")
    return f"{MOVED[module]}.{name}" if module in MOVED else None


def recorded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings (plain containers) with every ``_target_`` under the name that results have for it."""
    return {
        key: recorded(value) if isinstance(value, Mapping) else _old_place(value) if key == "_target_" else value
        for key, value in values.items()
    }


def _old_place(target: str) -> str:
    module, _, name = target.rpartition(".")
    old = next((old for old, new in MOVED.items() if new == module), module)
    return f"{old}.{name}"

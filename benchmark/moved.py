"""Classes of options that stood elsewhere in earlier versions.

An option of one's own that names the old place is told the new one. A result goes on naming the old place: the config
that a run is named by must not change because a module moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOVED: dict[str, str] = {}
"""Old ``_target_`` to new."""


def recorded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings (plain containers) with every ``_target_`` under the name that results have for it."""
    old = {new: old for old, new in MOVED.items()}
    return {
        key: recorded(value) if isinstance(value, Mapping) else old.get(value, value) if key == "_target_" else value
        for key, value in values.items()
    }

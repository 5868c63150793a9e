"""Sort scores, by compiled code where they are many."""

from __future__ import annotations

import functools
import logging
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)
FEW = 1 << 13
"""Scores that NumPy sorts in less time than the compiled sort clears its counters."""
WORTH = 1 << 23
"""Scores that a process sorts with NumPy before the import of Numba pays, about half a second."""


class _Sorted:
    """How many scores this process has sorted."""

    scores = 0


def ascending(scores: NDArray[Any]) -> NDArray[Any]:
    """Return floating scores in ascending order, as ``np.sort`` does but for the order of 0.0 and -0.0.

    Args:
        scores: (n,) float32 or float64; NaN goes to the ends.
    """
    if scores.dtype == np.float32 and scores.size >= FEW:
        _Sorted.scores += scores.size
        if (module := compiled()) is not None:
            ordered: NDArray[Any] = module.ascending(scores)
            return ordered
    return np.sort(scores)


def compiled() -> ModuleType | None:
    """Return ``compiled`` where this process has sorted enough scores for its import to pay; None where not."""
    return _module() if _Sorted.scores >= WORTH else None


@functools.cache
def _module() -> ModuleType | None:
    """None where Numba is not installed, or does not go with the NumPy that is: its values are NumPy's, only sooner."""
    try:
        from benchmark.scoring.metrics import compiled
    except ImportError as error:
        log.warning("scores are sorted by NumPy, which may take longer: %s", error)
        return None
    return compiled

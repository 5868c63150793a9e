"""One number of an evaluation, with what it rests on."""

from __future__ import annotations

from typing import Literal

from benchmark.core.resources import commands_here
from benchmark.core.settings import Record

_FIXES = {
    "have no binary mask": "protocol.iou_threshold=… cuts score maps, or give the pipeline a threshold of its own",
    "have no predicted label": "a threshold of the pipeline makes labels, or `make decide RUNS=…` finds one",
}
"""What helps against a reason; a result keeps the reason alone."""


class MetricRecord(Record):
    """One number with what it rests on."""

    metric: str
    level: Literal["pixel", "image"]
    category: str
    """A category's name, ``mean`` (unweighted over categories) or ``pooled`` (all images together)."""
    value: float | None
    """None where undefined; ``reason`` says why."""
    reason: str | None
    n: int
    """Images that the value is computed over."""
    n_defective: int
    """Defective ones among them."""
    n_skipped: int
    """Images left out; in a ``mean`` row, categories left out because the metric is undefined there."""
    low: float | None
    high: float | None
    """Interval of ``benchmark.scoring.spread``; it holds the value."""
    no_interval: str | None = None
    """Why a value has no interval."""
    threshold: float | None
    """Score at which a maximum is reached, or at which maps were cut."""

    @property
    def explained(self) -> str:
        """Return the reason with what helps against it; "" where the value is defined."""
        reason = (self.reason or "").replace("have no label", "have no predicted label")
        fix = next((fix for part, fix in _FIXES.items() if part in reason), "")
        return f"{reason}: {commands_here(fix)}" if fix else reason

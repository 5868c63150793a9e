"""Where the time of a run's stages went: computing, waiting for images, reading and writing the store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from benchmark.results.schema import Measured


class StageTime(NamedTuple):
    """Seconds of one stage, or of several together."""

    computing: float
    waiting: float
    """For images that were not yet decoded."""
    storing: float
    """Reading and writing the store."""

    def __str__(self) -> str:
        """Return the shares of the whole."""
        whole = sum(self)
        named = zip(self, ("computing", "waiting for images", "store"), strict=True)
        return ", ".join(f"{100 * part / whole:.0f} % {what}" for part, what in named) if whole else "no time"


def stage_times(measured: Measured) -> dict[str, StageTime]:
    """Return the times by stage, those that took any; none of results from before they were measured apart."""
    found = {
        name: StageTime(measured.seconds_per_stage.get(name, 0.0), waiting, measured.seconds_storing.get(name, 0.0))
        for name, waiting in measured.seconds_waiting.items()
    }
    return {name: one for name, one in found.items() if sum(one)}


def together(times: Iterable[StageTime]) -> StageTime:
    """Return the sums."""
    return StageTime(*(sum(parts) for parts in zip((0.0, 0.0, 0.0), *times, strict=True)))

"""Hydra's sweepers, made to compose each point once instead of twice, and to look first at what all points lack."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.plugins.sweeper import Sweeper

from benchmark.running import sweep


def compose_points_once() -> None:
    """Let Hydra's sweepers check one point of every combination of options before they start.

    They compose every point before the first one runs, and the launcher composes each again: a third of the time
    of a sweep over cheap settings. Points that choose the same options have the same keys, and their values are
    checked when they run, where a wrong one becomes a failed row instead of ending the sweep. A subclass would be
    the usual way, but Hydra takes plugins from the package ``hydra_plugins`` alone, and loads the modules of its own
    anew, so that only the method of their common base can be replaced.
    """
    Sweeper.validate_batch_is_legal = _validate  # type: ignore[method-assign]


def _validate(self: Sweeper, batch: Sequence[Sequence[str]]) -> None:
    assert self.hydra_context is not None and self.config is not None
    load = self.hydra_context.config_loader.load_sweep_config
    points = {choices(point): point for point in reversed(batch)}.values()
    sweep.look_ahead([load(self.config, list(point)) for point in reversed(points)], points=len(batch))


def choices(point: Sequence[str]) -> tuple[str, ...]:
    """Return the overrides of a point with the values of plain keys (they have a dot) left out."""
    return tuple(word.partition("=")[0] if "." in word.partition("=")[0] else word for word in point)

"""What a result says about the weights behind it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WeightsUsed:
    """What a result says about weights that took part."""

    name: str
    sha256: str
    licence: str | None
    trained_on: tuple[str, ...] | None
    """Training data by name; None: not known."""
    target_data: tuple[str, ...] | None
    """Data sets of this benchmark that were in the training; empty: none; None: not known."""
    random: bool = False
    """Random weights in place of published ones: the numbers mean nothing."""

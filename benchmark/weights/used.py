"""Weights that take part in a run: what a result says about them, and where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.core.settings import Record


class WeightsUsed(Record):
    """What a result says about weights that took part."""

    name: str
    sha256: str
    licence: str | None
    trained_on: tuple[str, ...] | None
    """Training data by name; None: not known."""
    target_data: tuple[str, ...] | None
    """Data sets of this benchmark that were in the training; empty: none; None: not known."""
    random: bool = False
    """Random weights in place of published ones: the numbers mean nothing and are refused by tables."""


@dataclass(frozen=True, kw_only=True)
class ResolvedWeights:
    """The weights of one network, found and verified."""

    sha256: str
    """Digest of the file; for random weights a text that names the network and the seed."""
    path: Path | None
    """None: random weights."""
    used: WeightsUsed
    """What the result says about them."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """File name -> path, for a set of several files."""

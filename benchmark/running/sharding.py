"""Share the work of one run between jobs that meet only in the store and in one folder of markers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmark.core.errors import ConfigError
from benchmark.core.samples import Sample
from benchmark.results.files import write_atomically


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``count`` parts, counted from 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``"i/n"`` with 1 <= i <= n.

        Raises:
            ConfigError: anything else.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None:
            raise ConfigError(f"run.shard={text!r}: write i/n, such as 1/4 … 4/4")
        index, count = int(match[1]), int(match[2])
        if not 1 <= index <= count:
            raise ConfigError(
                f"run.shard={text}: parts are counted from 1, so use 1/{count or 1} … {count or 1}/{count or 1}"
            )
        return cls(index, count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def shard_samples(samples: Sequence[Sample], shard: Shard) -> tuple[Sample, ...]:
    """Return this shard's samples, in order.

    Distinct image contents are dealt out in turn in the order in which they first appear, so every shard
    gets its share of each category, and equal images come to one shard, which computes them once.
    """
    turn: dict[str, int] = {}
    for sample in samples:
        turn.setdefault(sample.sha256, len(turn))
    return tuple(sample for sample in samples if turn[sample.sha256] % shard.count == shard.index - 1)


def mark_done(folder: Path, shard: Shard, identity: str) -> None:
    """Say in ``folder`` that this shard's work is in the store.

    Args:
        folder: one folder for all shards of a run.
        shard: the shard that has finished.
        identity: what the work is (the stage fingerprints, say); marks of other work do not count.

    Raises:
        ResultsError: the folder cannot be written.
    """
    write_atomically(_marker(folder, shard), (json.dumps({"identity": identity}) + "\n").encode())


def missing_shards(folder: Path, count: int, identity: str) -> list[Shard]:
    """Return the shards that are not marked as done.

    Mark first, then ask: whichever shard finishes last is then told that none is missing. Two that finish
    at the same moment may both be told, so what follows must be harmless when done twice (the same
    bytes, put in place by a rename).
    """
    return [shard for shard in (Shard(i, count) for i in range(1, count + 1)) if not _is_done(folder, shard, identity)]


def _is_done(folder: Path, shard: Shard, identity: str) -> bool:
    try:
        facts = json.loads(_marker(folder, shard).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(facts, dict) and facts.get("identity") == identity


def _marker(folder: Path, shard: Shard) -> Path:
    return folder / f"shard-{shard.index}-of-{shard.count}.json"

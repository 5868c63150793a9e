"""What one side says of one case, written to a folder and read back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Found:
    """The answer of one side for one image."""

    map: NDArray[Any] | None = None
    """Score map, as the official code leaves it before it is brought to the size of the evaluation."""
    mask: NDArray[np.bool_] | None = None
    scores: tuple[float, ...] = ()
    """Region scores, or the image score."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Texts and numbers that must be equal."""
    stopped: str | None = None
    """What the official code ended with instead of an answer, or what ours refuses."""
    threshold: float | None = None
    """Of the boxes, chosen by the official side so that some pass, between two scores."""


def save(folder: Path, side: str, found: Sequence[Found], seconds: float) -> None:
    """Write what a side found: arrays to an npz, the rest to JSON."""
    arrays = {f"{kind}{i}": getattr(one, kind) for i, one in enumerate(found) for kind in ("map", "mask")}
    np.savez(folder / f"{side}.npz", **{name: array for name, array in arrays.items() if array is not None})
    plain = [asdict(one) | {"map": None, "mask": None} for one in found]
    (folder / f"{side}.json").write_text(json.dumps({"seconds": seconds, "found": plain}), encoding="utf-8")


def load(folder: Path, side: str) -> tuple[list[Found], float]:
    """Read what a side found, and the seconds that it took."""
    read = json.loads((folder / f"{side}.json").read_text(encoding="utf-8"))
    with np.load(folder / f"{side}.npz") as file:
        arrays = {name: file[name] for name in file.files}
    found = [
        Found(**one | {"map": arrays.get(f"map{i}"), "mask": arrays.get(f"mask{i}"), "scores": tuple(one["scores"])})
        for i, one in enumerate(read["found"])
    ]
    return found, float(read["seconds"])


def between(scores: NDArray[Any], share: float) -> float:
    """Return a threshold that about a share of the scores pass, in the middle of a gap between two of them."""
    ordered = np.unique(np.asarray(scores, dtype=np.float64))
    if len(ordered) < 2:
        return float(ordered[0]) - 1e-3
    wanted = min(max(int(len(ordered) * (1 - share)), 1), len(ordered) - 1)
    near = sorted(range(1, len(ordered)), key=lambda i: (abs(i - wanted), i))
    wide = next((i for i in near if ordered[i] - ordered[i - 1] > 1e-5), wanted)
    return float((ordered[wide] + ordered[wide - 1]) / 2)

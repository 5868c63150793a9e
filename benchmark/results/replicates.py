"""What a run keeps beside its numbers: resampled values for paired comparisons, and curves to draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import ResultsError

if TYPE_CHECKING:
    from benchmark.scoring.evaluation import Evaluation

REPLICATES = "details.safetensors"
SEPARATOR = "\t"


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A precision-recall curve of pooled pixels, at up to 256 thresholds from the highest down."""

    threshold: NDArray[np.float64]
    """(K,) descending scores; a pixel is a defect where its score is at or above."""
    precision: NDArray[np.float64]
    """(K,) in [0, 1]."""
    recall: NDArray[np.float64]
    """(K,) in [0, 1], rising."""


@dataclass(frozen=True, kw_only=True)
class Replicates:
    """What ``details.safetensors`` of a run holds."""

    replicates: Mapping[tuple[str, str], NDArray[np.float64]]
    """(metric, category) -> value on every bootstrap resample, (R,); NaN where undefined."""
    curves: Mapping[str, Curve]
    """Category, or ``pooled``."""
    parts: Mapping[tuple[str, str], Mapping[str, NDArray[Any]]] = field(default_factory=dict)
    """(kind, category or ``pooled``) -> what every image adds, for ``swap_parts.swapped``; none in older files."""


def encode_replicates(evaluation: Evaluation) -> bytes:
    """Return the details of an evaluation as safetensors, float32 (a resampled value needs no more digits)."""
    from safetensors.numpy import save

    arrays: dict[str, NDArray[np.float32]] = {}
    for (metric, category), values in evaluation.all_replicates().items():
        arrays[SEPARATOR.join(("replicates", metric, category))] = values.astype(np.float32)
    for category, counts in evaluation.curves().items():
        called = np.maximum(counts.tp + counts.fp, 1)
        columns = (counts.score, counts.tp / called, counts.tp / max(1, int(counts.n_pos)))
        arrays[SEPARATOR.join(("curve", "", category))] = np.stack(columns).astype(np.float32)
    kept: dict[str, NDArray[Any]] = dict(arrays)
    for (kind, category), parts in evaluation.all_parts().items():
        kept |= {SEPARATOR.join((f"parts.{kind}.{name}", "", category)): v for name, v in parts.items()}
    return save({name: np.ascontiguousarray(values) for name, values in kept.items()})


def read_replicates(folder: Path) -> Replicates:
    """Read a run's details; raises ResultsError naming the file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / REPLICATES
    try:
        arrays = load(path.read_bytes())
    except FileNotFoundError:
        raise ResultsError(f"{path} does not exist; run the benchmark again with run.overwrite=only_missing") from None
    except (SafetensorError, OSError, KeyError, TypeError) as error:  # KeyError: a kind of numbers that numpy has not
        raise ResultsError(f"{path} is damaged ({error}); run the benchmark again") from None
    replicates: dict[tuple[str, str], NDArray[np.float64]] = {}
    curves: dict[str, Curve] = {}
    parts: dict[tuple[str, str], dict[str, NDArray[Any]]] = {}
    for name, values in arrays.items():
        kind, metric, category = (*name.split(SEPARATOR), "", "")[:3]
        if kind.startswith("parts.") and kind.count(".") == 2:
            _, source, part = kind.split(".")
            parts.setdefault((source, category), {})[part] = values
            continue
        wide = values.astype(np.float64)
        if kind == "replicates" and wide.ndim == 1:
            replicates[metric, category] = wide
        elif kind == "curve" and wide.ndim == 2 and len(wide) == 3:
            curves[category] = Curve(threshold=wide[0], precision=wide[1], recall=wide[2])
        else:
            raise ResultsError(f"{path} is damaged ({name!r} of shape {wide.shape}); run the benchmark again")
    return Replicates(replicates=replicates, curves=curves, parts=parts)

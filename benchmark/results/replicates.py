"""What a run keeps beside its numbers: resampled values for paired comparisons, and curves to draw."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core import mapped
from benchmark.core.errors import ResultsError

if TYPE_CHECKING:
    from benchmark.scoring.evaluation import Evaluation

REPLICATES = "details.safetensors"
SEPARATOR = "\t"
PIECE = 8 << 20
"""Bytes that are written at a time."""
_KIND_OF = {
    "float32": "F32", "float64": "F64", "bool": "BOOL", "uint8": "U8", "uint16": "U16", "uint32": "U32", "int64": "I64",
}  # fmt: skip
"""What safetensors calls the numbers that are kept."""
_NUMPY = {kind: name for name, kind in _KIND_OF.items()}


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


def encode_replicates(evaluation: Evaluation) -> Iterator[memoryview | bytes]:
    """Yield the details of an evaluation as pieces of a safetensors file, float32 (a resampled value needs no more)."""
    arrays: dict[str, NDArray[Any]] = {}
    for (metric, category), values in evaluation.all_replicates().items():
        arrays[SEPARATOR.join(("replicates", metric, category))] = values.astype(np.float32)
    for category, counts in evaluation.curves().items():
        called = np.maximum(counts.tp + counts.fp, 1)
        columns = (counts.score, counts.tp / called, counts.tp / max(1, int(counts.n_pos)))
        arrays[SEPARATOR.join(("curve", "", category))] = np.stack(columns).astype(np.float32)
    for (kind, category), parts in evaluation.all_parts().items():
        arrays |= {SEPARATOR.join((f"parts.{kind}.{name}", "", category)): v for name, v in parts.items()}
    return _pieces(arrays)


def _pieces(arrays: Mapping[str, NDArray[Any]]) -> Iterator[memoryview | bytes]:
    """Yield a safetensors file of arrays, which the library would hold in memory as a whole, twice."""
    # the widest numbers first, so that each array begins at a multiple of its numbers' size
    ordered = {n: np.ascontiguousarray(arrays[n]) for n in sorted(arrays, key=lambda n: (-arrays[n].itemsize, n))}
    header: dict[str, dict[str, Any]] = {}
    at = 0
    for name, values in ordered.items():
        kind = _KIND_OF[values.dtype.name]
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for values in ordered.values():
        raw = values.reshape(-1).view(np.uint8)
        for start in range(0, raw.size, PIECE):
            yield raw[start : start + PIECE].data
            mapped.let_go(raw)


def read_replicates(folder: Path) -> Replicates:
    """Read a run's details; raises ResultsError naming the file."""
    from safetensors import SafetensorError, safe_open

    path = folder / REPLICATES
    try:
        with safe_open(path, "numpy"):  # checks the header against the file
            arrays = _views(path)
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


def _views(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a safetensors file as views of it, so that those nobody looks at are not read."""
    with path.open("rb") as file:
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start = 8 + int.from_bytes(pages[:8], "little")
    found = {}
    for name, facts in json.loads(pages[8:start]).items():
        if name == "__metadata__":
            continue
        kind, shape = np.dtype(_NUMPY[facts["dtype"]]), facts["shape"]
        number = int(np.prod(shape, dtype=np.int64))
        if not number:
            found[name] = np.zeros(shape, dtype=kind)
            continue
        offset = start + facts["data_offsets"][0]
        found[name] = np.frombuffer(pages, dtype=kind, count=number, offset=offset).reshape(shape)
    return found

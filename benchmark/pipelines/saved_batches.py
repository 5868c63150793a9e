"""Prediction batches of anomalib, saved as ``.npz`` with the names of their fields."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import DataError
from benchmark.core.samples import Prediction, Sample
from benchmark.core.text import counted
from benchmark.pipelines.saved_files import as_map, one_channel
from benchmark.pipelines.saved_layouts import AS_BATCHES
from benchmark.pipelines.saved_table import Names

FIELDS = ("anomaly_map", "pred_score", "pred_label", "pred_mask")
"""What is read of open-edge-platform/anomalib:src/anomalib/data/dataclasses/generic.py, beside ``image_path``."""
_PICKLES = ("*.pt", "*.pth", "*.pkl", "*.pickle")


def read_batches(
    folder: Path, samples: Sequence[Sample]
) -> tuple[Mapping[str, Callable[[], Prediction]], list[str]] | None:
    """Find the predictions of each sample in the batches of a folder; None: it holds no batches.

    ``image_path`` names the images, one a row of the other fields: ``anomaly_map`` (B, H, W) or (B, 1, H, W),
    ``pred_mask`` likewise, ``pred_score`` and ``pred_label`` (B,) or (B, 1); or the fields of one image.

    Returns:
        What reads the prediction of a sample, by its id; and notes for the result.

    Raises:
        DataError: a file is no batch though others are, holds pickled objects, or names an image that another does.
    """
    files = sorted(folder.rglob("*.npz"))
    if not files or "image_path" not in _names(files[0]):
        pickles = [path for pattern in _PICKLES for path in folder.rglob(pattern)]
        if pickles and not files:
            raise DataError(
                f"{min(pickles)}: a pickle, which may run code when it is opened, so it is not; {AS_BATCHES}"
            )
        return None
    names = Names(samples)
    found: dict[str, Callable[[], Prediction]] = {}
    fields: set[str] = set()
    left_out = 0
    for file in files:
        has = _names(file)
        if "image_path" not in has or not {*FIELDS} & {*has}:
            raise DataError(f"{file}: no batch of anomalib as {files[0].name} is: it needs image_path and {FIELDS[0]}")
        fields |= {*has} & {*FIELDS}
        for row, path in enumerate(_paths(file)):
            where = f"{file}, row {row}"
            sample = names.of(path, where)
            if sample is None:
                left_out += 1
                continue
            if sample in found:
                raise DataError(f"{where}: {path} stands there twice; keep one prediction an image")
            found[sample] = partial(_predicted, file, row, where)
    notes = [f"read as batches of anomalib ({', '.join(f for f in FIELDS if f in fields)})"]
    if fields & {"pred_label", "pred_mask"}:
        notes.append(
            "labels and masks are those that anomalib saved; by default it chooses their threshold on the test images"
        )
    if left_out:
        told = counted(left_out, "prediction of anomalib is", "predictions of anomalib are")
        notes.append(f"{told} of images that are not in this run")
    return found, notes


def _predicted(file: Path, row: int, where: str) -> Prediction:
    has = _names(file)
    values = {field: _row(file, field, row) for field in FIELDS if field in has}
    score = None if "pred_score" not in values else _number(values["pred_score"], f"{where}, pred_score")
    if score is not None and not math.isfinite(score):
        raise DataError(f"{where}: pred_score is {score}; it must be a finite number")
    label = None if "pred_label" not in values else _number(values["pred_label"], f"{where}, pred_label")
    if label not in (None, 0, 1):
        raise DataError(f"{where}: pred_label is {label}; it must be 0 or 1")
    mask = None if "pred_mask" not in values else one_channel(values["pred_mask"], f"{where}, pred_mask") != 0
    drawn = None if "anomaly_map" not in values else as_map(values["anomaly_map"], f"{where}, anomaly_map")
    return Prediction(score_map=drawn, mask=mask, image_score=score, label=None if label is None else bool(label))


def _number(values: NDArray[Any], where: str) -> float:
    if values.size != 1 or values.dtype.kind not in "fiub":
        raise DataError(f"{where}: one number an image is needed, this has the shape {values.shape}; save it anew")
    return float(values.reshape(-1)[0])


def _row(file: Path, field: str, row: int) -> NDArray[Any]:
    paths, values = _member(file, "image_path"), _member(file, field)
    if paths.ndim == 0:
        return values
    if values.ndim == 0 or len(values) != len(paths):
        raise DataError(
            f"{file}: {field} has the shape {values.shape} for {counted(len(paths), 'image')}; save it anew"
        )
    return np.asarray(values[row])


def _paths(file: Path) -> list[str]:
    paths = _member(file, "image_path")
    if paths.dtype.kind != "U" or paths.ndim > 1:
        raise DataError(f"{file}: image_path is no list of texts; save it as numpy.array(paths, dtype=str)")
    return [str(path) for path in np.atleast_1d(paths)]


def _names(file: Path) -> tuple[str, ...]:
    return _names_in(file, _state(file))


def _member(file: Path, name: str) -> NDArray[Any]:
    return _member_in(file, name, _state(file))


def _state(file: Path) -> tuple[int, ...]:
    """What tells a file from one that another program writes over it."""
    try:
        facts = file.stat()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); was it removed?") from error
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


@lru_cache(maxsize=4096)
def _names_in(file: Path, _: tuple[int, ...]) -> tuple[str, ...]:
    try:
        with np.load(file, allow_pickle=False) as read:
            return tuple(read.files)
    except (OSError, ValueError, AttributeError, BadZipFile) as error:
        raise DataError(f"{file}: cannot be read as arrays ({error}); write it with numpy.savez") from error


@lru_cache(maxsize=16)
def _member_in(file: Path, name: str, _: tuple[int, ...]) -> NDArray[Any]:
    """Read one array of a file, which images of one batch share; never a pickle."""
    try:
        with np.load(file, allow_pickle=False) as read:
            return np.asarray(read[name])
    except Exception as error:
        raise DataError(
            f"{file}: {name} cannot be read ({error}); save numbers and texts, numpy.array(paths, dtype=str), no "
            "objects"
        ) from error

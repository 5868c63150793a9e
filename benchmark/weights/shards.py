"""Weights in several files, with an index that says which tensor lies in which, as large models of the hub have."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from benchmark.core.errors import WeightsError
from benchmark.weights.digests import file_digests

INDEX = "model.safetensors.index.json"


def is_index(file: Path) -> bool:
    """Whether a file is an index, by its name."""
    return file.name.endswith(".safetensors.index.json")


def places(index: Path) -> dict[str, str]:
    """Return tensor to the name of the file that holds it.

    Raises:
        WeightsError: the index cannot be read, or names anything but files beside it.
    """
    try:
        read = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(f"{index} is no index of weights ({error!r}): it is damaged; get it anew") from None
    if not isinstance(read, Mapping) or not read:
        raise WeightsError(f"{index} is no index of weights: it names no tensors")
    for file in read.values():
        if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
            raise WeightsError(f"{index} names {file!r}, which is no .safetensors file beside it")
    return dict(read)


def parts(index: Path) -> list[Path]:
    """Return the files that an index names, all of them there, in the order of their names.

    Raises:
        WeightsError: the index is damaged, or files are missing; all are named.
    """
    files = [index.parent / name for name in sorted(set(places(index).values()))]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise WeightsError(f"{index} names files that are not beside it: {', '.join(missing)}")
    return files


def files_of(weights: Path) -> list[Path]:
    """Return the files of some weights: the file itself, or an index and the files that it names."""
    return [weights, *parts(weights)] if is_index(weights) else [weights]


def digest(weights: Path) -> str:
    """Return the sha256 (hex) of a weights file; of an index, the digest over the names and digests of its files."""
    files = files_of(weights)
    if len(files) == 1:
        return file_digests(weights)[0]
    return hashlib.sha256(repr([(file.name, file_digests(file)[0]) for file in files]).encode()).hexdigest()

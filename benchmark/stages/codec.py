"""How one stage result becomes bytes and back: safetensors inside a checksummed zstd frame."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import StoreError
from benchmark.core.samples import MaskSet

Value: TypeAlias = "NDArray[Any] | MaskSet | int | float | str | bool | list[Any] | dict[str, Any] | None"
Artifact: TypeAlias = Mapping[str, Any]
"""Result of a stage for one image: names to arrays, mask sets and small JSON values (``Value``)."""

ARRAY_KINDS = "biuf"
LEVEL = 3
MAX_WINDOW = 1 << 27


class CorruptEntryError(Exception):
    """The bytes are not a whole, unaltered entry of the stage and key that were asked for."""


def plain(artifact: Artifact) -> dict[str, Value]:
    """Return the artifact as it would come back from the store, so that computed and stored results are the same.

    Arrays are kept (C order, native byte order), numpy scalars become Python numbers, tuples become lists.

    Raises:
        StoreError: a value that the store cannot hold, named.
    """
    checked: dict[str, Value] = {}
    for name, value in artifact.items():
        if not isinstance(name, str) or "#" in name:
            raise StoreError(f"artifact name {name!r} cannot be stored: use a string without '#'")
        if isinstance(value, MaskSet):
            checked[name] = value
        elif isinstance(value, np.ndarray):
            if value.dtype.kind not in ARRAY_KINDS or value.dtype.itemsize > 8:
                raise StoreError(
                    f"artifact {name!r} has dtype {value.dtype}: store bool, integer or float arrays of at most 64 bits"
                )
            checked[name] = np.asarray(value, dtype=value.dtype.newbyteorder("="), order="C")
        elif isinstance(value, np.generic):
            checked[name] = value.item()
        else:
            try:
                checked[name] = json.loads(json.dumps(value))
            except (TypeError, ValueError) as error:
                raise StoreError(
                    f"artifact {name!r} of type {type(value).__name__} cannot be stored ({error}): "
                    "use arrays, a MaskSet, numbers, strings, lists or None"
                ) from error
    return checked


def pack(artifact: Artifact, *, stage: str, key: str) -> bytes:
    """Serialise an artifact together with the stage name and key that it belongs to.

    Raises:
        StoreError: a value that the store cannot hold, named.
    """
    import zstandard
    from safetensors.numpy import save

    arrays: dict[str, NDArray[Any]] = {}
    fields: dict[str, list[Any]] = {}
    for name, value in plain(artifact).items():
        if isinstance(value, np.ndarray):
            arrays[name] = value
            fields[name] = ["array"]
        elif isinstance(value, MaskSet):
            arrays[f"{name}#rle"] = np.frombuffer(b"".join(value.counts), dtype=np.uint8)
            arrays[f"{name}#len"] = np.array([len(code) for code in value.counts], dtype=np.int64)
            fields[name] = ["masks", list(value.shape)]
        else:
            fields[name] = ["value", value]
    # One metadata string only: the library writes several in an arbitrary order, and entries are to be reproducible.
    entry = json.dumps({"stage": stage, "key": key, "fields": fields})
    data = save(arrays, metadata={"entry": entry})
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, write_content_size=True).compress(data)


def unpack(data: bytes, *, stage: str, key: str) -> dict[str, Value]:
    """Read what ``pack`` wrote.

    Raises:
        CorruptEntryError: truncated, altered, or an entry of another stage or key.
    """
    import zstandard
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        if not zstandard.get_frame_parameters(data).has_checksum:
            raise CorruptEntryError("no checksum")
        reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()
        raw = reader.decompress(data)
        if not reader.eof or reader.unused_data:
            raise CorruptEntryError("truncated or followed by other bytes")
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        entry = json.loads(header["__metadata__"]["entry"])
        if entry["stage"] != stage or entry["key"] != key:
            raise CorruptEntryError(f"belongs to stage {entry['stage']!r}, key {entry['key']!r}")
        arrays = load(raw)
        return {name: _value(name, field, arrays) for name, field in entry["fields"].items()}
    except (
        zstandard.ZstdError,
        SafetensorError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise CorruptEntryError(str(error)) from error


def _value(name: str, field: list[Any], arrays: Mapping[str, NDArray[Any]]) -> Value:
    """Rebuild one named value from its description and the arrays of the entry."""
    if field[0] == "array":
        return arrays[name]
    if field[0] == "masks":
        height, width = field[1]
        rle, ends = arrays[f"{name}#rle"].tobytes(), np.cumsum(arrays[f"{name}#len"]).tolist()
        starts = [0, *ends[:-1]]
        return MaskSet.from_counts((height, width), (rle[a:b] for a, b in zip(starts, ends, strict=False)))
    plain: Value = field[1]
    return plain

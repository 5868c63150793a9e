"""The samples of a manifest in columns: some hundred bytes an image, each ``Sample`` made when it is asked for."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from benchmark.core.sample import Sample, Split

_SHARED = (
    "mask_format", "defective", "category", "defect_type", "split", "mask_peak", "mask_lossy", "reading", "class_ids",
)  # fmt: skip
"""What many samples have in common; kept once for each combination."""
_RARE = ("more_masks", "drawing", "questions")
"""What few samples have at all."""
_HASH = re.compile(r"[0-9a-f]{64}")


class Samples(Sequence[Sample]):
    """Samples in order; slices and parts share the columns.

    Equal to any sequence of equal samples.
    """

    def __init__(self, columns: _Columns, places: Sequence[int]) -> None:
        self._columns, self._places = columns, places

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> Samples:
        """Take over samples, one after the other."""
        if isinstance(samples, Samples):
            return samples
        columns = _Columns()
        for sample in samples:
            columns.append(sample)
        return cls(columns, range(len(columns.codes)))

    def of_split(self, split: Split) -> Samples:
        """Return those of a split."""
        at = _SHARED.index("split")
        chosen = np.array([facts[at] == split for facts in self._columns.shared], dtype=bool)
        places = np.asarray(self._places, dtype=np.int64)
        kept = places[chosen[self._columns.codes_at(places)]] if places.size else places
        return Samples(self._columns, array("q", kept.tobytes()))

    @property
    def categories(self) -> tuple[str, ...]:
        """Category names in order of first appearance."""
        at = _SHARED.index("category")
        codes = self._columns.codes_at(np.asarray(self._places, dtype=np.int64))
        first = dict.fromkeys(codes.tolist())
        return tuple(dict.fromkeys(str(self._columns.shared[code][at]) for code in first))

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Sample]:
        return map(self._columns.sample, self._places)

    @overload
    def __getitem__(self, at: int) -> Sample: ...
    @overload
    def __getitem__(self, at: slice) -> Samples: ...
    def __getitem__(self, at: int | slice) -> Sample | Samples:
        """Make one sample, or return some of them."""
        if isinstance(at, slice):
            return Samples(self._columns, self._places[at])
        return self._columns.sample(self._places[at])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))


class _Columns:
    def __init__(self) -> None:
        self.codes = array("l")
        self.shared: list[tuple[Any, ...]] = []
        self._code_of: dict[tuple[Any, ...], int] = {}
        self._ids = _Texts()
        self._images, self._masks = _Files(), _Files()
        self._hashes, self._mask_hashes = _Hashes(), _Hashes()
        self._groups: dict[int, str] = {}
        self._rare: dict[str, dict[int, Any]] = {name: {} for name in _RARE}

    def codes_at(self, places: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the codes of what samples have in common."""
        codes: np.ndarray[Any, Any] = np.array(self.codes, dtype=np.int64)[places]
        return codes

    def append(self, sample: Sample) -> None:
        at = len(self.codes)
        facts = tuple(getattr(sample, name) for name in _SHARED)
        code = self._code_of.setdefault(facts, len(self.shared))
        if code == len(self.shared):
            self.shared.append(facts)
        self.codes.append(code)
        self._ids.append(sample.id)
        self._images.append(sample.image)
        self._masks.append(sample.mask)
        self._hashes.append(sample.sha256)
        self._mask_hashes.append(sample.mask_sha256)
        if sample.group != sample.id:
            self._groups[at] = sample.group
        for name, known in self._rare.items():
            if (value := getattr(sample, name)) is not None and value != ():
                known[at] = value

    def sample(self, at: int) -> Sample:
        identity = self._ids[at]
        image = self._images[at]
        assert image is not None
        rare = {name: known[at] for name, known in self._rare.items() if at in known}
        return Sample(
            id=identity,
            image=image,
            mask=self._masks[at],
            group=self._groups.get(at, identity),
            sha256=self._hashes[at] or "",
            mask_sha256=self._mask_hashes[at],
            **dict(zip(_SHARED, self.shared[self.codes[at]], strict=True)),
            **rare,
        )


class _Texts:
    """Texts one behind the other."""

    def __init__(self) -> None:
        self._bytes, self._ends = bytearray(), array("q", [0])

    def __getitem__(self, at: int) -> str:
        return self._bytes[self._ends[at] : self._ends[at + 1]].decode(errors="surrogatepass")

    def append(self, text: str) -> None:
        self._bytes += text.encode(errors="surrogatepass")
        self._ends.append(len(self._bytes))


class _Files:
    """Paths, each folder once; None where there is no file."""

    def __init__(self) -> None:
        self._folders: list[Path] = []
        self._folder_of: dict[Path, int] = {}
        self._codes, self._names = array("l"), _Texts()

    def __getitem__(self, at: int) -> Path | None:
        code = self._codes[at]
        return None if code < 0 else self._folders[code] / self._names[at]

    def append(self, path: Path | None) -> None:
        self._names.append("" if path is None else path.name)
        if path is None:
            self._codes.append(-1)
            return
        code = self._folder_of.setdefault(path.parent, len(self._folders))
        if code == len(self._folders):
            self._folders.append(path.parent)
        self._codes.append(code)


class _Hashes:
    """SHA-256 digests in their 32 bytes; None, and texts that are no digest, beside them."""

    def __init__(self) -> None:
        self._places, self._bytes = array("q"), bytearray()
        self._others: dict[int, str] = {}

    def __getitem__(self, at: int) -> str | None:
        place = self._places[at]
        return self._others.get(at) if place < 0 else self._bytes[place : place + 32].hex()

    def append(self, digest: str | None) -> None:
        if digest is not None and _HASH.fullmatch(digest):
            self._places.append(len(self._bytes))
            self._bytes += bytes.fromhex(digest)
            return
        if digest is not None:
            self._others[len(self._places)] = digest
        self._places.append(-1)

"""What an evaluation keeps of its images, in columns: some hundred bytes an image, whatever it was made of."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from benchmark.core.lazy import Lazy
from benchmark.core.samples import Outcome
from benchmark.scoring.metrics.score_spool import ScoreSpool
from benchmark.scoring.metrics.tables import ImageTable
from benchmark.scoring.scoring import ScoredImage

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_FLAGS = ("defective", "excluded", "in_pixels", "has_mask")
_NONE = -1


class KeptImages:
    """The scored images of an evaluation, in the order in which they were added."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.known: set[str] = set()
        self.categories, self.defect_types, self.messages = _Names(), _Names(), _Names()
        self.groups: dict[int, str] = {}
        """Of images that are not alone in theirs."""
        self.rationales: dict[int, str] = {}
        self.marks: dict[int, NDArray[np.uint16]] = {}
        self.outcomes, self.flags, self.labels = array("B"), array("B"), array("b")
        self.tables = array("q")
        self.scores = array("d")
        self.pixels, self.defect_pixels, self.mask_tp, self.mask_fp = (array("q") for _ in range(4))
        self.values, self.extra = Facts(), Facts()
        self.spool = ScoreSpool()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, at: int) -> KeptImage:
        """Return the image at a position."""
        return KeptImage(self, at)

    def add(self, image: ScoredImage) -> None:
        """Take over one image."""
        at, sample = len(self.ids), image.sample
        self.ids.append(sample.id)
        self.known.add(sample.id)
        self.categories.append(sample.category)
        self.defect_types.append(sample.defect_type)
        self.messages.append(image.message)
        if sample.group != sample.id:
            self.groups[at] = sample.group
        if image.rationale is not None:
            self.rationales[at] = image.rationale
        if image.marks is not None:
            self.marks[at] = image.marks
        self.outcomes.append(OUTCOMES.index(image.outcome))
        self.flags.append(sum(bool(getattr(image, name)) << bit for bit, name in enumerate(_FLAGS)))
        self.labels.append(_NONE if image.label is None else int(image.label))
        self.tables.append(_NONE if image.table is None else self.spool.keep(image.table))
        self.scores.append(math.nan if image.image_score is None else image.image_score)
        self.pixels.append(image.n_pixels)
        self.defect_pixels.append(image.n_defect_pixels)
        self.mask_tp.append(_NONE if image.mask_tp is None else image.mask_tp)
        self.mask_fp.append(_NONE if image.mask_fp is None else image.mask_fp)
        self.values.append(image.values)
        self.extra.append(image.extra)


class KeptImage:
    """One image of ``KeptImages``; every part is read from its column."""

    __slots__ = ("_kept", "at")

    def __init__(self, kept: KeptImages, at: int) -> None:
        self._kept = kept
        self.at = at
        """Its position."""

    @property
    def id(self) -> str:
        """Of its sample."""
        return self._kept.ids[self.at]

    @property
    def category(self) -> str:
        """Of its sample."""
        return self._kept.categories[self.at] or ""

    @property
    def defect_type(self) -> str:
        """Of its sample."""
        return self._kept.defect_types[self.at] or ""

    @property
    def group(self) -> str:
        """Of its sample."""
        return self._kept.groups.get(self.at, self.id)

    @property
    def outcome(self) -> Outcome:
        """Whether there is an answer."""
        return OUTCOMES[self._kept.outcomes[self.at]]

    @property
    def message(self) -> str | None:
        """Why the outcome is not ``ok``."""
        return self._kept.messages[self.at]

    @property
    def defective(self) -> bool:
        """The image label under the protocol."""
        return bool(self._kept.flags[self.at] & 1)

    @property
    def excluded(self) -> bool:
        """A failed answer that the protocol leaves out."""
        return bool(self._kept.flags[self.at] & 2)

    @property
    def in_pixels(self) -> bool:
        """Whether the image's pixels enter the pixel metrics."""
        return bool(self._kept.flags[self.at] & 4)

    @property
    def has_mask(self) -> bool:
        """False: defective, and where is not known."""
        return bool(self._kept.flags[self.at] & 8)

    @property
    def n_pixels(self) -> int:
        """Pixels that count."""
        return self._kept.pixels[self.at]

    @property
    def n_defect_pixels(self) -> int:
        """Defect pixels that count."""
        return self._kept.defect_pixels[self.at]

    @property
    def has_table(self) -> bool:
        """Whether there is a ``table``, which takes longer to make."""
        return self._kept.tables[self.at] != _NONE

    @property
    def table(self) -> ImageTable | None:
        """Sorted scores of its pixels, made anew each time."""
        number = self._kept.tables[self.at]
        return None if number == _NONE else self._kept.spool.table(number)

    @property
    def mask_tp(self) -> int | None:
        """Defect pixels inside the binary mask."""
        found = self._kept.mask_tp[self.at]
        return None if found == _NONE else found

    @property
    def mask_fp(self) -> int | None:
        """Good pixels inside the binary mask."""
        found = self._kept.mask_fp[self.at]
        return None if found == _NONE else found

    @property
    def image_score(self) -> float | None:
        """Larger is more defective."""
        found = self._kept.scores[self.at]
        return None if math.isnan(found) else found

    @property
    def label(self) -> bool | None:
        """True: the image is called defective."""
        found = self._kept.labels[self.at]
        return None if found == _NONE else bool(found)

    @property
    def rationale(self) -> str | None:
        """What the pipeline says of it."""
        return self._kept.rationales.get(self.at)

    @property
    def values(self) -> Mapping[str, float]:
        """Of the metrics of source ``each_image``, by name."""
        return self._kept.values[self.at]

    @property
    def extra(self) -> Mapping[str, float | int | str | None]:
        """Further facts for its row."""
        return self._kept.extra[self.at]

    @property
    def marks(self) -> NDArray[np.uint16] | None:
        """(4, 8) answers to multiple-choice questions."""
        return self._kept.marks.get(self.at)


def tables_of(images: Sequence[KeptImage]) -> Sequence[ImageTable]:
    """Return the tables of those images that have one, each made when it is asked for."""
    having = [image for image in images if image.has_table]

    def made(at: int) -> ImageTable:
        table = having[at].table
        assert table is not None
        return table

    return Lazy(len(having), made)


class _Names:
    """A column of texts of which there are few different ones, None among them."""

    def __init__(self) -> None:
        self.codes = array("l")
        self.names: list[str | None] = []
        self._code_of: dict[str | None, int] = {}

    def __getitem__(self, at: int) -> str | None:
        return self.names[self.codes[at]]

    def places(self, name: str | None) -> list[int]:
        """Positions of a text, rising."""
        code = self._code_of.get(name, _NONE)
        return np.flatnonzero(np.frombuffer(self.codes, dtype=np.dtype("l")) == code).tolist() if self.codes else []

    def append(self, name: str | None) -> None:
        code = self._code_of.setdefault(name, len(self.names))
        if code == len(self.names):
            self.names.append(name)
        self.codes.append(code)


class Facts:
    """Named values of each image: a column a name, of numbers where all are of one kind."""

    _missing, _none, _there = range(3)

    def __init__(self) -> None:
        self._number = 0
        self._states: dict[str, bytearray] = {}
        self._columns: dict[str, Any] = {}

    def __getitem__(self, at: int) -> dict[str, Any]:
        """Return the values of the image at a position, as they were given."""
        found = {}
        for name, states in self._states.items():
            state = states[at] if at < len(states) else self._missing
            if state != self._missing:
                found[name] = None if state == self._none else self._columns[name][at]
        return found

    def append(self, values: Mapping[str, Any]) -> None:
        """Add those of one more image."""
        at = self._number
        self._number += 1
        for name, value in values.items():
            states = self._states.setdefault(name, bytearray())
            states.extend(bytes(at - len(states)))
            states.append(self._none if value is None else self._there)
            if value is not None:
                self._put(name, at, value)

    def _put(self, name: str, at: int, value: Any) -> None:
        kind = "d" if type(value) is float else "q" if type(value) is int and abs(value) < 1 << 63 else None
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = [] if kind is None else array(kind)
        elif isinstance(column, array) and column.typecode != kind:
            column = self._columns[name] = list(column)
        gap = at - len(column)
        column.extend([0] * gap)
        column.append(value)

"""From a dataset's config to its manifest: find the folder, index it, check it against its card, split it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from benchmark.core.errors import ConfigError, DataError, near_matches
from benchmark.core.sample_columns import Samples
from benchmark.core.samples import Manifest, Reading, Sample
from benchmark.core.settings import FolderPath, Settings
from benchmark.core.text import counted, encodable
from benchmark.data.card import Card, Count, Difference, compare, find_card, unexpected_categories, wrong_total
from benchmark.data.index import FileFacts, file_facts
from benchmark.data.interest import Interest
from benchmark.data.record_files import content_key, files_of, size_problems, truth_key
from benchmark.data.records import Record, Scan, has_data, missing_data
from benchmark.data.splits import SplitPolicy, Subset, expected_test, split_records

_SHOWN = 6
"""How many differing counts a message lists."""


@dataclass(frozen=True, kw_only=True)
class Index:
    """A dataset's checked records, before they are split."""

    root: Path
    records: tuple[Record, ...]
    facts: Mapping[str, FileFacts]
    """Facts of every image and mask, by path relative to ``root``."""
    expected: tuple[Count, ...] | None
    complete: bool
    """Whether the counts are the expected ones."""
    reading: Reading
    """How the files become pixels."""
    notes: tuple[str, ...]


class Dataset(Settings, ABC):
    """What every dataset option has; a subclass adds how its archive is laid out (``scan``)."""

    name: str
    """Names the card and the folder below the data root."""
    path: FolderPath | None
    """Folder of the data; None: ``<data root>/<name>``."""
    inner: str | None
    """Folder that the archive puts around the data; looked through when it is there."""
    categories: list[str] | None
    """Categories of the archive to use; None: all."""
    unit: Literal["category", "dataset"]
    """What metrics are computed over: each category of the archive, or the dataset as one category."""
    split: SplitPolicy
    split_seed: int
    """Decides what a drawn split draws (``holdout20``)."""
    include_good: bool
    """False: no good image is predicted or scored."""
    subset: Subset | None
    """Draw so many of the images that would be scored; None: all."""
    allow_partial: bool
    """Go on when counts differ from the card; the result then carries both."""
    bits: Annotated[int, Field(ge=8, le=16)] | None
    """How many bits of 16-bit greyscale images hold values; None: as many as the highest value of the data needs."""
    exif_orientation: Literal["apply", "ignore"]
    """Whether images and masks are turned as the EXIF data of each say."""
    roi: FolderPath | dict[str, FolderPath | None] | None
    """Mask of the pixels that count, a folder of one a category, or one for each by name; None: all pixels count."""
    roi_resize: Literal["error", "nearest"]
    """What becomes of such a mask of another size than its image."""

    @field_validator("name")
    @classmethod
    def _names_one_folder(cls, value: str) -> str:
        """The name becomes a folder of results and prompts: it must lead nowhere else."""
        if value.strip(" .") == "" or any(c in "/\\" or ord(c) < 32 for c in value):
            raise ValueError("must be a plain name, without slashes: folders are named by it")
        return value

    labels_from_masks: ClassVar[bool] = False
    """Whether counts can be compared with the card only after the masks have been read (``refine`` sets labels)."""

    @abstractmethod
    def scan(self, root: Path) -> Scan:
        """List what is in ``root``; every layout says how."""

    def refine(self, records: Sequence[Record], facts: Mapping[str, FileFacts]) -> Scan:
        """Correct labels and groups where they need the files' contents."""
        return Scan(records=tuple(records))

    def manifest(self, data_root: Path, *, keep_unreadable: bool = False) -> Manifest:
        """Index the data and return its ordered samples.

        Args:
            data_root: folder that holds one folder for each dataset.
            keep_unreadable: an image or mask that cannot be read, or does not fit the other, has a sample all the
                same, which fails when it is predicted or scored.

        Raises:
            ConfigError: an unknown category, or no path where one is needed.
            DataError: the folder is missing or empty, a file is damaged, image and mask do not fit together, or the
                counts are not the card's; the message names the file and what to do.
        """
        index = self.index(data_root, keep_unreadable=keep_unreadable)
        chosen = split_records(
            index.records,
            policy=self.split,
            seed=self.split_seed,
            include_good=self.include_good,
            subset=self.subset,
        )
        return Manifest(
            dataset=self.name,
            samples=self._samples(chosen, index),
            expected_test=self._expected(index, chosen),
            notes=tuple(encodable(note) for note in index.notes),
        )

    def unlabelled(self, data_root: Path) -> Manifest:
        """Return the training images, and those test images whose truth only a benchmark's server has.

        Raises:
            ConfigError: the dataset has none.
            DataError: as ``manifest``.
        """
        raise ConfigError(f"dataset={self.name} has no images without labels; give some as in=<folder>")

    def interest(self) -> Interest | None:
        """Return which pixels count; None: all. Raises DataError for a mask that is not there."""
        return None if self.roi is None else Interest.read(self.roi, self.roi_resize)

    def index(self, data_root: Path, *, keep_unreadable: bool = False) -> Index:
        """Find, read and check every image and mask; raises as ``manifest`` does."""
        root = self.locate(data_root)
        card = find_card(self.name)
        scan = self.scan(root)
        self._raise_first(scan.problems)
        if not scan.records:
            raise DataError(self.no_image(root, card))
        records = self._selected(scan.records, card)
        differences: list[Difference] = []
        if not self.labels_from_masks:
            # Names are enough to see that data are missing, so no file has to be read before saying so.
            differences = self._differences(root, card, records)
        # Where masks decide what is defective, one that cannot be read leaves its image without a label.
        keep_unreadable = keep_unreadable and not self.labels_from_masks
        facts = file_facts(root, files_of(records), keep_unreadable=keep_unreadable)
        reading, reading_notes = self.reading(records, facts)
        if not keep_unreadable:
            self._raise_first(size_problems(root, records, facts, reading))
        refined = self.refine(records, facts)
        self._raise_first(refined.problems)
        if self.labels_from_masks:
            differences = self._differences(root, card, refined.records)
        return Index(
            root=root,
            records=refined.records,
            facts=facts,
            expected=self.expected_counts(card) if card else None,
            complete=not differences,
            reading=reading,
            notes=(*scan.notes, *self._partial_note(differences), *refined.notes, *reading_notes),
        )

    def reading(self, records: Sequence[Record], facts: Mapping[str, FileFacts]) -> tuple[Reading, list[str]]:
        """Return how the files become pixels, and what a reader of the result must know of it."""
        notes = []
        deep = [peak for record in records if (peak := facts[record.image].peak) is not None]
        bits = 16
        if deep:
            bits = self.bits or max(8, max(deep).bit_length())
            if bits < 16 or self.bits:
                why = "dataset.bits" if self.bits else f"the highest value is {max(deep)}; dataset.bits says otherwise"
                notes.append(
                    f"{counted(len(deep), 'image of 16 bits is', 'images of 16 bits are')} read as "
                    f"{bits}-bit, 0 to {2**bits - 1} ({why})"
                )
        turned = sum(facts[name].orientation != 1 for name in files_of(records))
        if turned:
            is_done = "applied" if self.exif_orientation == "apply" else "not applied"
            notes.append(
                f"{counted(turned, 'file has', 'files have')} an EXIF orientation, which is {is_done} "
                f"(dataset.exif_orientation)"
            )
        return Reading(bits=bits, upright=bool(turned) and self.exif_orientation == "apply"), notes

    def no_image(self, root: Path, card: Card | None) -> str:
        """Say that a folder holds no image where images are looked for, and where that is."""
        hint = card.layout if card else "<category>/train/good, <category>/test/<type>, <category>/ground_truth/<type>"
        return f"{root}: no image of dataset {self.name} in it; expected: {hint}"

    def expected_counts(self, card: Card) -> tuple[Count, ...] | None:
        """Return what the card expects of the chosen categories, None where it does not say."""
        return card.expected(self.categories)

    def locate(self, data_root: Path) -> Path:
        """Return the folder that ``scan`` reads.

        Raises:
            DataError: it does not exist.
        """
        root = (data_root / self.name) if self.path is None else self.path
        if self.path is None and not data_root.is_dir():
            raise DataError(
                f"{data_root}: the data root is no folder; set run.data_root, or the variable DATA_ROOT, to the one "
                f"that holds {self.name}/, or run `make data DATASET={self.name}` to get the data into it"
            )
        if not root.is_dir() or (self.path is None and not has_data(root)):
            raise DataError(missing_data(root, self.name))
        if self.inner is not None and (root / self.inner).is_dir():
            return root / self.inner
        return root

    def _selected(self, records: Sequence[Record], card: Card | None) -> Sequence[Record]:
        if self.categories is None:
            return records
        there = {record.category for record in records}
        known = there | set(card.categories if card else ())
        for name in self.categories:
            if name not in known:
                raise ConfigError(
                    f"dataset.categories: {self.name} has no category {name!r}; {near_matches(name, known)}"
                )
            if name not in there:
                raise DataError(f"category {name!r} of {self.name} is not in the data; `make data DATASET={self.name}`")
        wanted = set(self.categories)
        return [record for record in records if record.category in wanted]

    def differences(self, card: Card | None, records: Sequence[Record]) -> list[Difference]:
        """List where the counts of the chosen categories are not the card's; none without a card."""
        if card is None:
            return []
        total = wrong_total(card, records) if self.categories is None else []
        return [*unexpected_categories(card, records), *compare(self.expected_counts(card) or (), records), *total]

    def _differences(self, root: Path, card: Card | None, records: Sequence[Record]) -> list[Difference]:
        differences = self.differences(card, records)
        if differences and not (self.allow_partial or self._subset_is_there(records)):
            raise DataError(
                f"{root}: the data are not what datasets/{self.name}/card.yaml says: {_listed(differences)}. "
                f"`make data DATASET={self.name} ARGS=verify` lists all of it; "
                "dataset.allow_partial=true goes on with what is there"
            )
        return differences

    def _raise_first(self, problems: Sequence[str]) -> None:
        if len(problems) > 1:
            listing = f"`make data DATASET={self.name} ARGS=verify` lists them"
            more = counted(len(problems) - 1, "more such problem") + (f"; {listing}" if find_card(self.name) else "")
            raise DataError(f"{problems[0]} (and {more})")
        if problems:
            raise DataError(problems[0])

    def _partial_note(self, differences: Sequence[Difference]) -> list[str]:
        if not differences:
            return []
        kind = "partial data" if self.subset is None else "the subset was drawn from partial data"
        return [f"{kind}: {_listed(differences)}"]

    def _subset_is_there(self, records: Sequence[Record]) -> bool:
        """Whether a drawn subset can be had in its full size from data that are not complete."""
        if self.subset is None:
            return False
        chosen = split_records(
            records, policy=self.split, seed=self.split_seed, include_good=self.include_good, subset=None
        )
        test = [record.defective for record in chosen if record.split == "test"]
        return test.count(True) >= self.subset.defective and test.count(False) >= self.subset.good

    def _expected(self, index: Index, chosen: Sequence[Record]) -> int | None:
        if index.expected is None:
            return None
        if index.complete:
            return sum(record.split == "test" for record in chosen)
        return expected_test(index.expected, policy=self.split, include_good=self.include_good, subset=self.subset)

    def samples(
        self, records: Sequence[Record], root: Path, facts: Mapping[str, FileFacts], reading: Reading
    ) -> Samples:
        """Return records that are not in ``scan`` as samples.

        Args:
            records: each of training or of test.
            root: below which their files lie.
            facts: of every file, by path relative to ``root``.
            reading: how files become pixels.
        """
        index = Index(
            root=root, records=tuple(records), facts=facts, expected=None, complete=True, reading=reading, notes=()
        )
        return self._samples(index.records, index)

    def _samples(self, records: Sequence[Record], index: Index) -> Samples:
        path_of = _Paths(index.root)
        return Samples.of(self._sample(record, index, path_of) for record in records)

    def _sample(self, record: Record, index: Index, path_of: _Paths) -> Sample:
        mask = record.mask
        # An all-zero mask of a good image says what no mask says; it need not be decoded for every protocol.
        if mask is not None and not record.defective and index.facts[mask].peak == 0:
            mask = None
        assert record.split != "all", record
        return Sample(
            id=encodable(record.image),
            image=path_of(record.image),
            mask=None if mask is None else path_of(mask),
            more_masks=tuple(map(path_of, record.more_masks)),
            mask_format=record.mask_format,
            defective=record.defective,
            category=self.name if self.unit == "dataset" else encodable(record.category),
            defect_type=encodable(record.defect_type),
            group=encodable(record.group or record.image),
            split=record.split,
            sha256=content_key(index.facts[record.image], index.reading, deep=True),
            mask_sha256=truth_key(record, mask, index.facts, index.reading),
            drawing=record.drawing,
            class_ids=record.class_ids,
            mask_peak=None if mask is None else index.facts[mask].peak,
            mask_lossy=mask is not None and index.facts[mask].lossy,
            reading=index.reading,
            questions=record.questions,
        )


class _Paths:
    """Makes paths below a root, each folder's once: parsing a Path of many parts costs more than a file's stat."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[str, Path] = {}

    def __call__(self, relative: str) -> Path:
        folder, _, name = relative.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = self.root / folder
        return self._folders[folder] / name


def _listed(differences: Sequence[Difference]) -> str:
    shown = [str(difference) for difference in differences[:_SHOWN]]
    return "; ".join([*shown, f"and {len(differences) - _SHOWN} more"] if len(differences) > _SHOWN else shown)

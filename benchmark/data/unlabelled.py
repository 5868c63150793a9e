"""Images of which nobody says whether they are defective, beside good ones that a pipeline may learn from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from benchmark.core.errors import DataError
from benchmark.core.samples import Manifest, Sample
from benchmark.core.text import encodable
from benchmark.data.dataset import Dataset
from benchmark.data.images import EXTENSIONS
from benchmark.data.index import FileFacts, file_facts
from benchmark.data.record_files import content_key
from benchmark.data.records import GOOD, Record, natural, unlabelled_record

TRAIN, CALIBRATION = "train", "good"
"""What stands before the names of good images that are learnt from, and of those that thresholds are set by."""


def unlabelled_manifest(
    settings: Dataset, images: Path, *, category: str, train: Path | None, good: Path | None, leave_out: Path
) -> Manifest:
    """Index images without labels.

    No image but the training ones counts as good, so that nothing is learnt from one of which that is not known.

    Args:
        settings: how files are read, and what the data are called.
        images: a folder, looked through at any depth, or one image.
        category: of all of them.
        train: good images to learn from; None: there are none.
        good: good images by which thresholds are set; they come before the others, as ``good/…``.
        leave_out: a folder that is not looked into, as results are written there.

    Raises:
        DataError: a folder is not there or holds no image, or an image is both learnt from and for thresholds.
    """
    parts = [(TRAIN, train), (CALIBRATION, good), ("", images)]
    found: dict[str, tuple[Path, FileFacts]] = {}
    records: list[Record] = []
    for prefix, place in parts:
        if place is None:
            continue
        root, names = _images(place, leave_out)
        facts = file_facts(root, dict.fromkeys(names, "image"), keep_unreadable=True)
        for name in names:
            called = f"{prefix}/{name}" if prefix else name
            found[called] = (root / name, facts[name])
            records.append(_good(called, category) if prefix == TRAIN else unlabelled_record(called, category))
    reading, notes = settings.reading(records, {name: facts for name, (_, facts) in found.items()})
    samples = []
    for record in records:
        path, known = found[record.image]
        samples.append(
            Sample(
                id=encodable(record.image),
                image=path,
                mask=None,
                defective=record.defective,
                category=encodable(category),
                defect_type=record.defect_type,
                group=encodable(record.image),
                split="train" if record.split == "train" else "test",
                sha256=content_key(known, reading, deep=True),
                reading=reading,
            )
        )
    _refuse_shared(samples)
    return Manifest(dataset=settings.name, samples=tuple(samples), notes=tuple(map(encodable, notes)))


def is_calibration(sample: Sample, good: Path | None) -> bool:
    """Whether a sample is one of the good images by which thresholds are set."""
    return good is not None and sample.split == "test" and sample.id.startswith(f"{CALIBRATION}/")


def _good(name: str, category: str) -> Record:
    return Record(image=name, mask=None, defective=False, category=category, defect_type=GOOD, split="train")


def _images(place: Path, leave_out: Path) -> tuple[Path, list[str]]:
    """Return a root and the names of the images below it, in natural order, without hidden files and folders."""
    if place.is_file():
        return place.parent, [place.name]
    if not place.is_dir():
        raise DataError(f"{place}: no such folder; give one of images, or one image")
    found = []
    for folder, inner, names in os.walk(place):
        inner[:] = [name for name in inner if not name.startswith(".") and Path(folder, name) != leave_out]
        relative = Path(folder).relative_to(place)
        found += [
            (relative / name).as_posix()
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS
        ]
    if not found:
        raise DataError(f"{place}: no image in it ({', '.join(sorted(EXTENSIONS))} are looked for)")
    return place, sorted(found, key=natural)


def _refuse_shared(samples: Sequence[Sample]) -> None:
    """Raise DataError where a good image that sets thresholds is learnt from too: its scores are too low for that."""
    learnt = {sample.sha256: sample for sample in samples if sample.split == "train"}
    for sample in samples:
        if sample.id.startswith(f"{CALIBRATION}/") and sample.sha256 in learnt:
            raise DataError(
                f"{sample.image}: a training image too ({learnt[sample.sha256].image}), on which scores are too low to "
                "set a threshold by; give other good images as good=<folder>"
            )

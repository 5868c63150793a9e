"""Cutting tall images in three, into a folder of their own."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from benchmark.core.progress import track
from benchmark.data.dataset import Index
from benchmark.data.images import opened


def cut_thirds(whole: Index, folder: Path, name: str) -> Path:
    """Write ``<stem>_{0,1,2}.png`` and ``<stem>_{0,1,2}_label.png`` for every record, and return their root.

    The third k of a height H holds the rows ``k * H // 3`` to ``(k + 1) * H // 3``. The folder is named by the content
    of its sources and appears only when it is whole.

    Args:
        whole: index of the uncut images; every record has a mask.
        folder: where derived images lie.
        name: first part of the new folder's name.
    """
    digest = hashlib.sha256()
    for record in whole.records:
        masked = whole.facts[record.mask].sha256 if record.mask else ""
        digest.update(f"{record.image} {whole.facts[record.image].sha256} {masked}\n".encode(errors="surrogateescape"))
    target = folder / f"{name}_thirds-{digest.hexdigest()[:16]}"
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=folder, prefix=f".{name}-"))
    try:
        for record in track(whole.records, f"Cutting {name}"):
            stem = str(Path(record.image).with_suffix(""))
            _cut(whole.root / record.image, work / stem, "")
            if record.mask is not None:
                _cut(whole.root / record.mask, work / stem, "_label")
        try:
            os.replace(work, target)  # noqa: PTH105
        except OSError:
            if not target.is_dir():
                raise
            # Another run finished the same cut first: the content is the same.
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _cut(source: Path, stem: Path, suffix: str) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    with opened(source) as image:
        # Palette masks are looked up here: a crop keeps its palette, but indices are not levels.
        grey = image.convert("L")
        width, height = grey.size
        for third in range(3):
            top, bottom = third * height // 3, (third + 1) * height // 3
            grey.crop((0, top, width, bottom)).save(f"{stem}_{third}{suffix}.png", compress_level=1)

"""The dataset ``sat``: synthetic scanning acoustic tomography images of one electronic package.

They are generated on first use below DATA_ROOT, in MVTec layout, with the same bytes on every machine
(``benchmark.data.sat_maths`` says what that rests on). The look, the defect types and the counts follow the
description of IndustrialSAT in Baeuerle et al., "The domain gap of foundation models" (sections 3.3 and 4).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.core.addresses import cache_folder
from benchmark.core.errors import DataError
from benchmark.core.progress import Progress
from benchmark.core.samples import Manifest, Sample, Split
from benchmark.core.settings import Settings
from benchmark.data.index import FileRole, file_facts
from benchmark.data.sat_defects import KINDS, Areas, DefectSettings, Kind
from benchmark.data.sat_maths import Stream
from benchmark.data.sat_scan import Nuisances, scan

VERSION = 1
"""Raised whenever the pixels change."""

CATEGORY = "package"
_RECORD = "generated.json"
_ABANDONED_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Shot:
    """One image to generate: where it goes and what is on it."""

    split: Split
    kind: Kind | None
    number: int

    @property
    def image(self) -> str:
        """Path of the image relative to the dataset root."""
        return f"{CATEGORY}/{self.split}/{self.kind or 'good'}/{self.number:03d}.png"

    @property
    def mask(self) -> str | None:
        """Path of the mask relative to the dataset root; good images have none."""
        return None if self.kind is None else f"{CATEGORY}/ground_truth/{self.kind}/{self.number:03d}_mask.png"


class Sat(Settings):
    """The dataset option ``sat``: what is generated, and how hard it is."""

    seed: int = Field(ge=0)
    size: int = Field(ge=64, le=2048)
    n_train: int = Field(ge=0)
    n_good: int = Field(ge=0)
    n_defective: int = Field(ge=0)
    contrast: float = Field(ge=0)
    """Factor on the defects' grey levels."""
    area: Areas
    """Factors on the median areas of the types of defect."""
    area_spread: float = Field(ge=0, le=3)
    """Deviation of the logarithm of a defect's area."""
    nuisance: float = Field(ge=0)
    nuisances: Nuisances

    def shots(self) -> tuple[Shot, ...]:
        """Every image of the dataset in manifest order; defect types take turns, so they are about even."""
        train = [Shot("train", None, i) for i in range(self.n_train)]
        good = [Shot("test", None, i) for i in range(self.n_good)]
        n = len(KINDS)
        defective = [
            Shot("test", k, i) for j, k in enumerate(KINDS) for i in range((self.n_defective - j + n - 1) // n)
        ]
        return (*train, *good, *defective)

    @property
    def key(self) -> str:
        """Short hash of the settings and the generator's version: the name of the folder."""
        text = json.dumps({"version": VERSION, **self.model_dump()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def manifest(self, data_root: Path) -> Manifest:
        """Generate the images unless they are there, and list them; into the cache where ``data_root`` is read-only.

        Raises:
            DataError: ``data_root`` cannot be created or written, or a generated file was changed.
        """
        root = self._place(data_root)
        shots = self.shots()
        if not (root / _RECORD).is_file():
            with Progress("Generating sat", len(shots)) as progress:
                generate(self, root, on_progress=lambda done, total: progress.advance())
        return Manifest(
            dataset="sat",
            samples=tuple(_samples(root, shots)),
            expected_test=self.n_good + self.n_defective,
            notes=(f"synthetic images, generated from seed {self.seed}",),
        )

    def _place(self, data_root: Path) -> Path:
        """Folder of the images, there or not."""
        root = data_root / "sat" / self.key
        if (root / _RECORD).is_file() or not data_root.is_dir() or _writable(root):
            return root
        place = cache_folder() / "generated"
        place.mkdir(parents=True, exist_ok=True)
        return place / "sat" / self.key


def _writable(folder: Path) -> bool:
    """Whether a folder can be made here."""
    return os.access(next(place for place in folder.absolute().parents if place.exists()), os.W_OK)


def generate(settings: Sat, root: Path, *, on_progress: Callable[[int, int], None] | None = None) -> None:
    """Generate a whole dataset into ``root``.

    Everything is written into a folder of another name beside ``root`` and renamed at the end, so a killed
    generation never passes for a whole one. Two processes may generate at once: both write the same bytes, and the
    later one drops its own.

    Args:
        settings: what to generate.
        root: folder to create, two levels below DATA_ROOT; DATA_ROOT is created where the folder above it exists.
        on_progress: called with (images done, images in all).

    Raises:
        DataError: the folder cannot be written.
    """
    data_root = root.parent.parent
    if not data_root.is_dir() and not data_root.absolute().parent.is_dir():
        raise DataError(
            f"{data_root}: neither this folder nor the one above it exists; create it, or set run.data_root "
            "(DATA_ROOT) to another one"
        )
    shots = settings.shots()
    try:
        data_root.mkdir(exist_ok=True)
        root.parent.mkdir(exist_ok=True)
        _sweep(root)
        partial_root = Path(tempfile.mkdtemp(prefix=f".{root.name}.", suffix=".partial", dir=root.parent))
        try:
            _write_all(settings, partial_root, shots, on_progress)
            _publish(partial_root, root)
        finally:
            shutil.rmtree(partial_root, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{root}: the images cannot be generated ({error.strerror or error}); "
            "free some space or set run.data_root (DATA_ROOT) to a folder that can be written"
        ) from error


def _write_all(
    settings: Sat, root: Path, shots: tuple[Shot, ...], on_progress: Callable[[int, int], None] | None
) -> None:
    for folder in {(root / name).parent for shot in shots for name in (shot.image, shot.mask) if name is not None}:
        folder.mkdir(parents=True, exist_ok=True)
    hashes: dict[str, str] = {}
    # NumPy lets go of the interpreter lock, so threads share the cores.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for done, written in enumerate(pool.map(partial(_write, settings, root), shots), start=1):
            hashes.update(written)
            if on_progress is not None:
                on_progress(done, len(shots))
    record = {"version": VERSION, "settings": settings.model_dump(), "sha256": hashes}
    (root / _RECORD).write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")


def _write(settings: Sat, root: Path, shot: Shot) -> dict[str, str]:
    """Write one image with its mask; return the sha256 of each file."""
    image, mask = render(settings, shot)
    files = {shot.image: image}
    if shot.mask is not None:
        files[shot.mask] = mask.astype(np.uint8) * np.uint8(255)
    hashes = {}
    for name, pixels in files.items():
        data = png(pixels)
        (root / name).write_bytes(data)
        hashes[name] = hashlib.sha256(data).hexdigest()
    return hashes


def render(settings: Sat, shot: Shot) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Make one image, uint8 (size, size), and its mask, bool (size, size).

    Each image has its own stream of random numbers, so more images leave the first ones as they were.
    """
    kind = 0 if shot.kind is None else 1 + KINDS.index(shot.kind)
    stream = Stream(settings.seed, 0 if shot.split == "train" else 1, kind, shot.number)
    nuisances = settings.nuisances.scaled(settings.nuisance)
    defects = DefectSettings(contrast=settings.contrast, area=settings.area, area_spread=settings.area_spread)
    return scan(stream, shot.kind, size=settings.size, defects=defects, nuisances=nuisances)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode an (H, W) uint8 image as an uncompressed 8-bit grey PNG.

    Written here because a library's bytes depend on its zlib build; stored blocks leave nothing to choose.
    """
    height, width = pixels.shape
    rows = np.zeros((height, width + 1), dtype=np.uint8)
    rows[:, 1:] = pixels
    raw = rows.tobytes()
    blocks = [b"\x78\x01"]
    for start in range(0, len(raw), 65535):
        block = raw[start : start + 65535]
        last = start + 65535 >= len(raw)
        blocks.append(struct.pack("<BHH", last, len(block), 65535 - len(block)) + block)
    blocks.append(struct.pack(">I", zlib.adler32(raw)))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", b"".join(blocks)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _publish(partial_root: Path, root: Path) -> None:
    """Rename the finished folder into place, unless another process was faster."""
    partial_root.chmod(0o755)
    try:
        partial_root.rename(root)
    except OSError:
        if not (root / _RECORD).is_file():
            raise


def _sweep(root: Path) -> None:
    """Remove what killed generations left behind; younger folders may belong to a living process."""
    for left in root.parent.glob(".*.partial"):
        with contextlib.suppress(FileNotFoundError):  # it was somebody's, and is finished
            if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _samples(root: Path, shots: tuple[Shot, ...]) -> Iterator[Sample]:
    """Yield the samples, each file compared with the hash of what was generated."""
    recorded = _recorded(root)
    files: dict[str, FileRole] = {}
    for shot in shots:
        files[shot.image] = "image"
        if shot.mask is not None:
            files[shot.mask] = "grey"
    facts = file_facts(root, files)
    for name, found in facts.items():
        if found.sha256 != recorded.get(name):
            raise DataError(f"{root / name}: not the file that was generated; remove {root}, it is generated again")
    for shot in shots:
        yield Sample(
            id=shot.image,
            image=root / shot.image,
            mask=None if shot.mask is None else root / shot.mask,
            defective=shot.kind is not None,
            category=CATEGORY,
            defect_type=shot.kind or "good",
            group=shot.image,
            split=shot.split,
            sha256=facts[shot.image].sha256,
            mask_sha256=None if shot.mask is None else facts[shot.mask].sha256,
        )


def _recorded(root: Path) -> dict[str, str]:
    """Read the sha256 of every generated file."""
    path = root / _RECORD
    try:
        hashes: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove {root}, it is generated again") from error
    return hashes

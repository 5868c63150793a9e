"""Thumbnails of a run: what the report shows of each image, kept small and bounded."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from benchmark.core.atomic import open_temporary
from benchmark.core.errors import DataError, ResultsError, StoreError
from benchmark.scoring.metrics.tables import minmax

if TYPE_CHECKING:
    from benchmark.core.samples import GroundTruth, Prediction, Sample
    from benchmark.stages.store import Store

GALLERY = "gallery.parquet"
SIDE = 160
"""Longest side of a thumbnail, pixels."""
QUALITY = 72
BATCH = 64
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Thumbnails:
    """What is kept of one image; every picture is an encoded file, None where there is none."""

    id: str
    image: bytes | None
    """WebP."""
    truth: bytes | None
    """PNG, 255 where any pixel below is a defect, so that small defects stay visible; None where no pixel is one."""
    score: bytes | None
    """Grey WebP, 0 at ``low`` and 255 at ``high``."""
    mask: bytes | None
    """PNG as ``truth``, of the binary decision."""
    low: float | None
    high: float | None
    """Smallest and largest score of the map at native size."""


class Gallery:
    """Writes ``gallery.parquet`` of a run while predictions stream by; memory does not grow with the images.

    Args:
        folder: of the run.
        chosen: ids of the images that are kept.
        store: remembers the thumbnails of images between runs; None computes them each time.
        workers: threads that decode and encode; 0 works where ``add`` is called.
    """

    def __init__(self, folder: Path, chosen: frozenset[str], *, store: Store | None, workers: int) -> None:
        self._folder, self._chosen, self._store = folder, chosen, store
        self._pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="gallery")
        self._slots = threading.Semaphore(BATCH)
        self._waiting: list[Future[Thumbnails]] = []
        self._writer: Any = None
        self._made = False
        self._file: BinaryIO | None = None

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        try:
            if kind is None:
                self._write()
            if self._writer is not None and self._file is not None:
                self._writer.close()
                self._file.flush()
                if kind is None:
                    Path(self._file.name).replace(self._folder / GALLERY)
        except OSError as failed:
            raise ResultsError(
                f"{self._folder / GALLERY} cannot be written ({failed.strerror}); set run.gallery=0"
            ) from None
        finally:
            if self._file is not None:
                Path(self._file.name).unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # a full disk has been told already
                    self._file.close()
            if kind is not None and self._made:
                with contextlib.suppress(OSError):  # another job of the same run may have written into it
                    self._folder.rmdir()

    def add(self, sample: Sample, prediction: Prediction, truth: GroundTruth) -> None:
        """Take over one image; its maps are shrunk at once, the rest is done by the workers."""
        if sample.id not in self._chosen:
            return
        scores = prediction.score_map
        if scores is None and prediction.regions is not None:
            scores = prediction.regions.score_map()
        small = None if scores is None else shrink(scores.astype(np.float32, copy=False))
        ends = None if scores is None else (float(scores.min()), float(scores.max()))
        mask = None if prediction.mask is None else _covered(prediction.mask)
        defects = _covered(truth.mask) if truth.mask.any() else None
        self._slots.acquire()
        future = self._pool.submit(self._encode, sample, small, ends, mask, defects)
        future.add_done_callback(lambda _: self._slots.release())
        self._waiting.append(future)
        if len(self._waiting) >= 2 * BATCH:
            self._write(BATCH)

    def _encode(
        self,
        sample: Sample,
        scores: NDArray[np.float32] | None,
        ends: tuple[float, float] | None,
        mask: NDArray[np.uint8] | None,
        truth: NDArray[np.uint8] | None,
    ) -> Thumbnails:
        low, high = ends if ends is not None else (None, None)
        grey = None
        if scores is not None and low is not None and high is not None:
            span = minmax(scores, low, high)
            grey = (np.clip(span, 0.0, 1.0) * 255.0).round().astype(np.uint8)
        return Thumbnails(
            id=sample.id,
            image=self._image(sample),
            truth=None if truth is None else encode(truth, ".png"),
            score=None if grey is None else encode(grey, ".webp"),
            mask=None if mask is None else encode(mask, ".png"),
            low=low,
            high=high,
        )

    def _image(self, sample: Sample) -> bytes | None:
        """Make the thumbnail of the photograph, or take it from the store; None where it cannot be decoded."""
        from benchmark.data.images import load_image

        key = hashlib.sha256(f"{sample.sha256} {SIDE} {QUALITY} {VERSION}".encode()).hexdigest()
        stored = None if self._store is None else self._store.get("thumbnail", key)
        if stored is not None:
            return bytes(np.asarray(stored["webp"], dtype=np.uint8).tobytes())
        try:
            made = encode(shrink(load_image(sample.image, sample.reading)), ".webp")
        except DataError:
            return None  # the run has a row that says so
        if self._store is not None:
            try:
                self._store.put("thumbnail", key, {"webp": np.frombuffer(made, dtype=np.uint8)})
            except StoreError:
                return made  # a full store costs time at the next run, nothing else
        return made

    def _write(self, count: int | None = None) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        ready, self._waiting = self._waiting[:count], self._waiting[count:] if count else []
        if not ready:
            return
        columns = [vars(f.result()) for f in ready]
        binary, real = pa.binary(), pa.float64()
        kinds = {"id": pa.string(), "image": binary, "truth": binary, "score": binary, "mask": binary}
        schema = pa.schema([*kinds.items(), ("low", real), ("high", real)])
        if self._writer is None:
            self._made = not self._folder.exists()
            self._file = open_temporary(self._folder / GALLERY)
            self._writer = pq.ParquetWriter(self._file, schema, compression="none")
        self._writer.write_table(pa.Table.from_pylist(columns, schema=schema))


def choose(samples: Sequence[Sample], limit: int) -> frozenset[str]:
    """Return the ids of at most ``limit`` images, spread evenly over the order."""
    from benchmark.core.samples import evenly

    return frozenset(sample.id for sample in evenly(samples, limit))


def kept_ids(folder: Path) -> frozenset[str]:
    """Return the ids of the images that a run kept thumbnails of."""
    import pyarrow.parquet as pq

    path = folder / GALLERY
    return frozenset(pq.read_table(path, columns=["id"])["id"].to_pylist()) if path.exists() else frozenset()


def read_gallery(folder: Path) -> Iterator[Thumbnails]:
    """Yield the thumbnails of a run in its order; nothing where the run kept none."""
    import pyarrow.parquet as pq

    path = folder / GALLERY
    if not path.exists():
        return
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BATCH):
            for row in batch.to_pylist():
                yield Thumbnails(**row)


def shrink(picture: NDArray[Any], side: int = SIDE) -> NDArray[Any]:
    """Reduce a picture, (H, W) or (H, W, 3), to at most ``side`` pixels a side by area; smaller ones stay."""
    import cv2

    height, width = picture.shape[:2]
    scale = side / max(height, width)
    if scale >= 1.0:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small: NDArray[Any] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return small


def encode(picture: NDArray[np.uint8], suffix: str) -> bytes:
    """Encode a grey (H, W) or RGB (H, W, 3) picture as ``.webp`` (lossy) or ``.png``."""
    import cv2

    ordered = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    options = [cv2.IMWRITE_WEBP_QUALITY, QUALITY] if suffix == ".webp" else [cv2.IMWRITE_PNG_COMPRESSION, 9]
    done, data = cv2.imencode(suffix, ordered, options)
    if not done:
        raise ResultsError(f"a thumbnail of {picture.shape} could not be encoded as {suffix}; set run.gallery=0")
    return bytes(data.tobytes())


def decode(data: bytes, *, colour: bool = False) -> NDArray[np.uint8]:
    """Decode what ``encode`` wrote: grey (H, W), or RGB (H, W, 3) for ``colour``."""
    import cv2

    flag = cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    if picture is None:
        raise ResultsError("a thumbnail cannot be decoded; run again with run.overwrite=always")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) if colour else picture, dtype=np.uint8)


def _covered(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return (shrink(mask.astype(np.float32)) > 0).astype(np.uint8) * np.uint8(255)

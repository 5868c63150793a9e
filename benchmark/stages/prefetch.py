"""Decode images in threads, a bounded number ahead of the one that needs them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from benchmark.core.samples import Sample


def _load(sample: Sample) -> NDArray[np.uint8]:
    from benchmark.data.images import load_image

    return load_image(sample.image, sample.reading)


class Image:
    """One image file, decoded at most once, in a thread if it was asked for early enough."""

    def __init__(self, sample: Sample, pool: ThreadPoolExecutor | None) -> None:
        self._sample = sample
        self._pool = pool
        self._future: Future[NDArray[np.uint8]] | None = None
        self._array: NDArray[np.uint8] | None = None

    def start(self) -> None:
        """Begin to decode in a thread; does nothing where there are no threads."""
        if self._pool is not None and self._future is None and self._array is None:
            self._future = self._pool.submit(_load, self._sample)

    def get(self) -> NDArray[np.uint8]:
        """Return the image, (H, W, 3) uint8 RGB.

        Raises:
            DataError: the file cannot be read.
        """
        if self._array is None:
            self._array = _load(self._sample) if self._future is None else self._future.result()
        return self._array

    def forget(self) -> None:
        """Let go of the decoded array; ``get`` would decode again."""
        self._array = self._future = None


class Prefetcher:
    """Makes ``Image`` objects that share one pool of threads.

    Args:
        workers: number of threads; 0: images are decoded in the caller's thread when they are needed.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="decode") if workers else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def image(self, sample: Sample) -> Image:
        """Return the image of a sample, not yet decoded."""
        return Image(sample, self._pool)

    def ahead(self, samples: Iterable[Sample]) -> Iterator[tuple[Sample, Image]]:
        """Yield each sample with its image, with up to two images a thread decoded ahead."""
        queue: deque[tuple[Sample, Image]] = deque()
        for sample in samples:
            image = self.image(sample)
            image.start()
            queue.append((sample, image))
            if len(queue) > 2 * self.workers:
                yield queue.popleft()
        while queue:
            yield queue.popleft()

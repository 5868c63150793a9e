"""How many images a stage computes at once: as its option or the run says, and no more than memory allows."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Sequence

from benchmark.stages.stage import Stage

log = logging.getLogger(__name__)
ON_CUDA = 8
"""Images at once on a CUDA device, where neither the run nor the stage asks for more."""


class Batching:
    """The batch sizes of one run's stages.

    Args:
        wanted: images at once in every network that takes several; None: as each stage has it, on a CUDA device at
            least ``ON_CUDA``.
        on_cuda: whether networks run on a CUDA device; asked when there is something to compute, as it may import
            torch.

    Raises:
        ValueError: ``wanted`` is below 1.
    """

    def __init__(self, wanted: int | None = None, *, on_cuda: Callable[[], bool] = lambda: False) -> None:
        if wanted is not None and wanted < 1:
            raise ValueError(f"batches of {wanted} images")
        self._wanted, self._on_cuda = wanted, on_cuda
        self._fits: dict[str, int] = {}
        """By stage name, where memory did not do."""

    def size(self, stage: Stage) -> int:
        """Return how many images a stage is given at once; 1 for one that works image by image."""
        if stage.batch_size is None:
            return 1
        size = stage.batch_size
        if not stage.own_batch and self._wanted is not None:
            size = self._wanted
        elif not stage.own_batch and self._on_cuda():
            size = max(size, ON_CUDA)
        return min(size, self._fits.get(stage.name, size))

    def widest(self, stages: Sequence[Stage]) -> int:
        """Return the largest batch of some stages and of all that they rest on."""
        return max((max(self.size(stage), self.widest(stage.upstream)) for stage in stages), default=1)

    def halve(self, stage: Stage, failed: int) -> None:
        """Go on with half where memory ran out with ``failed`` images at once, 2 or more; say so, and free what is."""
        self._fits[stage.name] = failed // 2
        log.warning(
            "stage %s: out of memory with %d images at once; going on with %d (run.batch_size=%d saves the attempt)",
            stage.name,
            failed,
            failed // 2,
            failed // 2,
        )
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.empty_cache()

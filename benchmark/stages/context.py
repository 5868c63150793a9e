"""What a pipeline runs in: the samples, the store, and stages resolved through it."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import BenchmarkError, ConfigError, told
from benchmark.core.sample_columns import Samples
from benchmark.core.samples import Manifest, Sample
from benchmark.core.secrets import redact
from benchmark.core.traces import Trace
from benchmark.stages.batching import Batching
from benchmark.stages.codec import Artifact
from benchmark.stages.prefetch import Prefetcher
from benchmark.stages.scheduler import FATAL, stream
from benchmark.stages.stage import Inputs, Stage
from benchmark.stages.stage_cache import StageCache, StageStats
from benchmark.stages.store import Store
from benchmark.weights.used import ResolvedWeights, WeightsUsed

log = logging.getLogger(__name__)
T = TypeVar("T")
Progress = Callable[[str, int, int, int], None]
MODEL_LIMIT = 6
"""Most models kept in one process; the one unused longest goes first."""

_models: OrderedDict[Hashable, Any] = OrderedDict()
_models_lock = threading.RLock()


def clear_models() -> None:
    """Forget every model kept in this process."""
    with _models_lock:
        _models.clear()


class Context:
    """What a pipeline gets: which samples to predict, and the means to run its stages on them.

    Args:
        manifest: all samples of the dataset, train ones too.
        samples: the test samples to predict, in order.
        store: where stage results are kept.
        seed: for every random choice of a pipeline.
        device: torch device name; ``auto`` is CUDA where there is a device, else the processor.
        device_index: which one ``auto`` takes where there are several CUDA devices, counted round.
        weights_root: folder of the weights files; None: see ``benchmark.weights.weights_root``.
        workers: threads that decode images ahead; 0: decode where the image is needed.
        batch_size: images at once in every stage that takes several; None: as ``Batching`` has it.
        on_error: ``stop`` raises at the first image that fails; ``record`` puts it into ``failed`` and goes on.
        refresh: compute each entry once anew in this process, whatever is stored.
        on_progress: called as (stage name, done, total, reused) after each image of ``run``.
        prompts_root: folder of the records of generated prompts; None: ``prompts`` beside the store's folder.
        most_traces: how many questions to language models are kept for tracking.
    """

    def __init__(
        self,
        *,
        manifest: Manifest,
        samples: Sequence[Sample],
        store: Store,
        seed: int = 0,
        device: str = "cpu",
        device_index: int = 0,
        workers: int = 2,
        batch_size: int | None = None,
        on_error: Literal["stop", "record"] = "stop",
        refresh: bool = False,
        on_progress: Progress | None = None,
        weights_root: Path | None = None,
        prompts_root: Path | None = None,
        most_traces: int = 0,
    ) -> None:
        if workers < 0:
            raise ConfigError(f"workers is {workers}: give 0 or more")
        self.manifest = manifest
        self.samples = Samples.of(samples)
        self.store = store
        batching = Batching(batch_size, on_cuda=lambda: self.device.startswith("cuda"))
        self.stage_cache = StageCache(store, refresh=refresh, batching=batching)
        self.seed = seed
        self._device, self._device_index = device, device_index
        self.weights_root = weights_root
        self.prompts_root = store.root.parent / "prompts" if prompts_root is None else prompts_root
        self.chosen: Mapping[str, ResolvedWeights] = {}
        """Role to the weights of a network, found before the pipeline plans."""
        self.weights: dict[str, WeightsUsed] = {}
        """By name; filled through ``note_weights``."""
        self.workers = workers
        self.on_error = on_error
        self.on_progress = on_progress
        self.notes: list[str] = []
        """What a reader of the result must know of how a pipeline ran; filled through ``tell``."""
        self.counters: dict[str, float] = {}
        """What a pipeline counted in this run (calls, tokens, money), by name; not part of the result."""
        self.traces: list[Trace] = []
        """The first questions to language models, for tracking; filled through ``trace``."""
        self._most_traces = most_traces
        self.failed: dict[str, str] = {}
        """Sample id to message, filled where ``on_error`` is ``record``."""

    @property
    def device(self) -> str:
        """The torch device name in force, never ``auto``; asking imports torch unless the setting is ``cpu``.

        Raises:
            ConfigError: a CUDA device is wanted that is not there.
        """
        if self._device == "cpu":
            return self._device
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if self._device == "auto":
            self._device = f"cuda:{self._device_index % count}" if count else "cpu"
        elif int(self._device.partition(":")[2] or 0) >= count:
            there = f"PyTorch finds {count} here, counted from cuda:0" if count else "PyTorch finds none here"
            raise ConfigError(f"run.device={self._device}: no such CUDA device ({there}); use auto, or cpu")
        return self._device

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories of the samples, once each, in the order in which they first come."""
        return self.samples.categories

    @property
    def stats(self) -> dict[str, StageStats]:
        """What happened in each stage, by its name."""
        return self.stage_cache.stats

    @property
    def refresh(self) -> bool:
        """Whether each entry is computed once anew in this process, whatever is stored."""
        return self.stage_cache.refresh

    @refresh.setter
    def refresh(self, value: bool) -> None:
        self.stage_cache.refresh = value

    def note_weights(self, used: WeightsUsed) -> None:
        """Say that these weights take part, so that the result records them."""
        self.weights[used.name] = used

    def tell(self, *notes: str) -> None:
        """Say something in the log and in the result's notes, once a run."""
        for note in notes:
            if note not in self.notes:
                log.warning("%s", note)
                self.notes.append(note)

    def trace(self, make: Callable[[], Trace]) -> None:
        """Keep a question for tracking, as long as there is room for it."""
        if len(self.traces) < self._most_traces:
            self.traces.append(make())

    def model(self, key: Hashable, load: Callable[[], T]) -> T:
        """Return the model kept under ``key`` in this process, loading it at the first call.

        The key must name all that makes the model what it is: class, weights' sha256, device, precision.
        """
        with _models_lock:
            if key not in _models:
                _models[key] = load()
                while len(_models) > MODEL_LIMIT:
                    _models.popitem(last=False)
            _models.move_to_end(key)
            found: T = _models[key]
            return found

    def images(self, samples: Iterable[Sample] | None = None) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
        """Yield each sample with its image, (H, W, 3) uint8 RGB, in order and decoded ahead.

        Raises:
            DataError: an image that cannot be read (``on_error: stop``).
        """
        with Prefetcher(self.workers) as prefetcher:
            for sample, image in prefetcher.ahead(self.samples if samples is None else samples):
                try:
                    decoded = image.get()
                except Exception as error:
                    self.report(sample, error, step="decoding")
                    continue
                yield sample, decoded

    def run(self, stage: Stage, samples: Sequence[Sample] | None = None) -> Iterator[tuple[Sample, Artifact]]:
        """Yield each sample with its artifact of ``stage``, in order, computing only what is not stored.

        Images are decoded ahead, missing results are computed in batches, and a failing batch is tried again
        one by one. Memory is bounded by the look-ahead, not by the number of samples.

        Raises:
            BenchmarkError: an image that failed (``on_error: stop``), naming the stage and the file; or a store,
                config or weights error, which would meet every image alike.
        """
        for sample, (artifact,) in self.run_all((stage,), samples):
            yield sample, artifact

    def run_all(
        self, stages: Sequence[Stage], samples: Sequence[Sample] | None = None
    ) -> Iterator[tuple[Sample, tuple[Artifact, ...]]]:
        """Like ``run`` for several stages side by side: one artifact each, images decoded once."""
        chosen = self.samples if samples is None else tuple(samples)
        names = "+".join(stage.name for stage in stages)
        if len(categories := {sample.category for sample in chosen}) == 1 < len(self.categories):
            names += f" of {categories.pop()}"
        reused = 0
        with Prefetcher(self.workers) as prefetcher:
            for done, (sample, results) in enumerate(stream(self.stage_cache, stages, chosen, prefetcher), start=1):
                reused += all(result.reused for result in results)
                if self.on_progress is not None:
                    self.on_progress(names, done, len(chosen), reused)
                failure = next((result.failure for result in results if result.failure), None)
                if failure is not None:
                    self.report(sample, failure.error, step=failure.stage)
                    continue
                yield sample, tuple(result.artifact for result in results if result.artifact is not None)

    def once(self, stage: Stage, content_key: str) -> Artifact:
        """Return a result that does not belong to one image (a reference, text embeddings), stored by ``content_key``.

        ``compute`` gets one ``Inputs`` without sample and image; upstream stages are resolved the same way.

        Raises:
            BenchmarkError: the stage failed, whatever ``on_error`` says; nothing can be predicted without it.
        """
        cache = self.stage_cache
        key = stage.key(f"once:{content_key}")
        artifact = cache.stored(stage, key)
        if artifact is None:
            upstream = {up.name: self.once(up, content_key) for up in stage.upstream}
            try:
                artifact = cache.compute(stage, [Inputs(None, None, upstream)])[0]
            except BenchmarkError:
                raise
            except Exception as error:
                raise BenchmarkError(f"stage {stage.name!r} failed: {told(error)}") from error
            cache.keep(stage, key, artifact)
        else:
            cache.stage_stats(stage).reused += 1
        return artifact

    def report(self, sample: Sample, error: Exception, *, step: str) -> None:
        """Record or raise the failure of one sample in a step, as ``on_error`` has it."""
        if isinstance(error, FATAL):
            raise error
        if isinstance(error, BenchmarkError):
            if self.on_error == "stop":
                raise error
            self.failed[sample.id] = str(error)
            return
        message = f"stage {step!r} failed on {sample.image}: {told(error)}"
        if self.on_error == "stop":
            raise BenchmarkError(message) from error
        self.failed[sample.id] = redact(message)

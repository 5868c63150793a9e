"""The pass over all images of a run: each prediction goes to the counts, and to all who keep something of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmark.config.pipeline import Plan, predictions
from benchmark.config.schema import RunConfig
from benchmark.core.errors import DataError, ResultsError
from benchmark.core.progress import Progress
from benchmark.results.export import Export
from benchmark.results.gallery import Gallery
from benchmark.running.inside import Inside, interest_of

if TYPE_CHECKING:
    from benchmark.core.samples import GroundTruth, Prediction, Sample
    from benchmark.scoring.evaluation import Evaluation
    from benchmark.scoring.scoring import AtomCache
    from benchmark.stages.context import Context
    from benchmark.stages.store import Store

ATOMS = "atoms-2"
"""Store name of atom tables; the number is raised when their making changes."""


@dataclass(frozen=True)
class Keepers:
    """What takes over predictions beside the counts, image by image."""

    gallery: Gallery
    export: Export


def evaluate(config: RunConfig, plan: Plan, context: Context, keepers: Keepers, progress: Progress) -> Evaluation:
    """Predict every sample and stream the predictions into counts, thumbnails and files."""
    from benchmark.scoring.evaluation import Evaluation

    evaluation = Evaluation(
        config.protocol,
        config.metric.names,
        seed=config.run.seed,
        dataset=context.manifest.dataset,
        atom_cache=atom_cache(context.store.here),  # sooner made again than sent
    )
    inside = Inside(interest_of(config.dataset), context)
    for sample, prediction in in_order(predictions(plan, context), context.samples):
        if prediction is None:
            _add_failed(evaluation, config, context, sample, keepers.export, inside)
            progress.advance()
            continue
        try:
            truth = inside.truth(sample, truth_of(config, sample))
            prediction = inside.prediction(sample, prediction, _shape(truth))
        except DataError as error:
            context.report(sample, error, step="ground truth")
            _add_failed(evaluation, config, context, sample, keepers.export, inside)
            continue
        evaluation.add(sample, prediction, truth)
        keepers.gallery.add(sample, prediction, truth)
        keepers.export.add(sample, prediction, _shape(truth), truth)
        progress.advance()
    if len(context.failed) == len(context.samples):
        reason = next(iter(context.failed.values()))
        raise ResultsError(f"no sample could be predicted; the first one failed with: {reason}")
    inside.tell()
    return evaluation


def in_order(
    stream: Iterator[tuple[Sample, Prediction]], samples: Iterable[Sample]
) -> Iterator[tuple[Sample, Prediction | None]]:
    """Yield every sample with its prediction, or with None where the pipeline gave none.

    Raises:
        ResultsError: the pipeline predicted a sample twice or out of order.
    """
    expected = iter(samples)
    for sample, prediction in stream:
        for due in expected:
            if due.id == sample.id:
                break
            yield due, None
        else:
            raise ResultsError(f"the pipeline predicted {sample.id} twice or out of order")
        yield sample, prediction
    yield from ((due, None) for due in expected)


def _shape(truth: GroundTruth) -> tuple[int, int]:
    height, width = truth.mask.shape
    return height, width


def _add_failed(
    evaluation: Evaluation, config: RunConfig, context: Context, sample: Sample, export: Export, inside: Inside
) -> None:
    from benchmark.core.samples import Prediction
    from benchmark.data.ground_truth import truth_of_failed

    if sample.id not in context.failed:
        raise ResultsError(f"the pipeline gave no prediction for {sample.id}")
    failed = Prediction(outcome="failed", message=context.failed[sample.id])
    protocol = config.protocol
    truth = truth_of_failed(sample, threshold=protocol.mask_threshold, border=protocol.border)
    with contextlib.suppress(DataError):  # of another size, which may be why it failed
        truth = inside.truth(sample, truth)
    evaluation.add(sample, failed, truth)
    export.add(sample, failed, _shape(truth), truth)


def truth_of(config: RunConfig, sample: Sample) -> GroundTruth:
    """Read the sample's pixel truth under the protocol; the points of a sweep read it once."""
    from benchmark.core.memory import process_memory
    from benchmark.data import ground_truth

    protocol = config.protocol
    return ground_truth.truth_of(
        sample, threshold=protocol.mask_threshold, border=protocol.border, memory=process_memory
    )


def atom_cache(store: Store) -> AtomCache:
    """Return what remembers atom tables: in this process, and in the store for the next one."""
    from benchmark.core.memory import process_memory
    from benchmark.scoring.metrics.regions import AtomTable

    def remembered(key: str, build: Callable[[], AtomTable]) -> AtomTable:
        def load() -> AtomTable:
            stored = store.get(ATOMS, key)
            if stored is not None:
                return AtomTable.from_arrays(stored)
            table = build()
            store.put(ATOMS, key, table.to_arrays())
            return table

        return process_memory.memoize((ATOMS, key), load)

    return remembered

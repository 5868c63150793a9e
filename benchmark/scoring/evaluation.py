"""From a stream of predictions to a report: values, intervals and per-image rows under one protocol."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import ConfigError, DataError, near_matches
from benchmark.core.lazy import Lazy
from benchmark.core.samples import GroundTruth, Prediction, Sample
from benchmark.core.text import counted
from benchmark.scoring.breakdown import Row, breakdown
from benchmark.scoring.estimates import Estimate, Weights, binary_counts, estimate
from benchmark.scoring.kept_images import OUTCOMES, KeptImage, KeptImages
from benchmark.scoring.metric_record import MetricRecord
from benchmark.scoring.metrics import bootstrap
from benchmark.scoring.metrics.choices import ReleasedScorer, marks
from benchmark.scoring.metrics.counts import Counts
from benchmark.scoring.metrics.exchange import Parts
from benchmark.scoring.metrics.intervals import FEWEST, Interval
from benchmark.scoring.metrics.labels import image_iou
from benchmark.scoring.metrics.registry import MetricSpec, metrics
from benchmark.scoring.metrics.resampling import Multiplicities, side_by_side
from benchmark.scoring.protocol import Protocol
from benchmark.scoring.scoring import AtomCache, Needs, ScoredImage, score
from benchmark.scoring.spread import interval_of, interval_of_mean
from benchmark.scoring.swap_parts import parts_of

_FIXED = frozenset(
    {"id", "category", "defect_type", "group", "defective", "outcome", "message", "image_score", "label", "iou"}
    | {"n_defect_pixels", "n_pixels", "rationale"}
)
"""Columns of every row."""


class Evaluation:
    """Streams predictions into counts; holds tables of scores, never maps.

    A continuous map costs 4 bytes a pixel at the evaluation size, past 2 GiB in a temporary file; a few-valued or
    region map costs a few kilobytes.
    """

    def __init__(
        self,
        protocol: Protocol,
        metric_names: Sequence[str],
        *,
        seed: int,
        dataset: str | None = None,
        atom_cache: AtomCache | None = None,
    ) -> None:
        """Prepare an empty evaluation.

        Args:
            protocol: how predictions are scored.
            metric_names: names of metrics; raises ConfigError for an unknown one.
            seed: of the bootstrap.
            dataset: name by which the protocol's ``defective_only_datasets`` is resolved.
            atom_cache: remembers atom tables of region sets between runs.
        """
        self.protocol = protocol.for_dataset(dataset)
        self.specs = _with_variants(metrics(metric_names), self.protocol)
        self.seed = seed
        self.atom_cache = atom_cache
        sources = {s.source for s in self.specs}
        cut = "masks" in sources and self.protocol.iou_threshold is not None
        components = any(s.limited or s.regional for s in self.specs)
        self._needs = Needs(
            tables="pixels" in sources or cut,
            components=components,
            image_scores="image_scores" in sources,
            each_image=tuple(s for s in self.specs if s.source == "each_image"),
        )
        self._images = KeptImages()
        self._released = ReleasedScorer()
        self._estimates: dict[str, dict[str, Estimate]] | None = None

    def add(self, sample: Sample, prediction: Prediction, truth: GroundTruth) -> None:
        """Score one image; raises DataError for a sample that was added already, and as ``scoring.score`` does."""
        if sample.id in self._images.known:
            raise DataError(f"{sample.id} is scored twice")
        if sample.category in ("mean", "pooled"):
            raise DataError(f"{sample.id}: the category name {sample.category!r} is that of a report row")
        image = score(sample, prediction, truth, protocol=self.protocol, needs=self._needs, atom_cache=self.atom_cache)
        clash = sorted((_FIXED | image.values.keys()) & image.extra.keys())
        if clash:
            raise DataError(f"{sample.id}: the extra fact {clash[0]!r} has the name of a column; rename it")
        self._images.add(self._marked(image, prediction))
        self._estimates = None

    def _marked(self, image: ScoredImage, prediction: Prediction) -> ScoredImage:
        """Count the answers to the image's questions; one without an outcome of its own has that of the image."""
        questions, given = image.sample.questions, prediction.choices
        if questions is None or (given is None and prediction.outcome == "ok"):
            return image
        choices = (prediction.outcome,) * len(questions.asked) if given is None else given
        if len(choices) != len(questions.asked):
            raise DataError(
                f"{image.sample.id}: {counted(len(choices), 'answer')} to {counted(len(questions.asked), 'question')}"
            )
        released = self._released.counted(choices, [asked.key for asked in questions.asked])
        return replace(image, marks=marks(questions, choices, released, defective=image.defective))

    @property
    def categories(self) -> list[str]:
        """Names of the categories, sorted, so that no number depends on the order of images."""
        return sorted(name for name in self._images.categories.names if name is not None)

    def report(self) -> list[MetricRecord]:
        """Return every metric for every category, their ``mean``, and ``pooled`` where the protocol has it."""
        estimates = self._estimated()
        rows: list[MetricRecord] = []
        for spec in self.specs:
            each = {name: estimates[name][spec.name] for name in self.categories}
            mean = _mean(list(each.values()))
            whole = {"pooled": estimates["pooled"][spec.name]} if self.protocol.pooled else {}
            rows += [_record(spec, name, e, interval_of(e, self.protocol)) for name, e in each.items()]
            rows.append(_record(spec, "mean", mean, interval_of_mean(mean, list(each.values()), self.protocol)))
            rows += [_record(spec, name, e, interval_of(e, self.protocol)) for name, e in whole.items()]
        return rows

    def replicates(self, name: str, category: str = "mean") -> NDArray[np.float64] | None:
        """Return a metric's value on every resample, (R,), for ``bootstrap.paired``; None without resampling.

        Args:
            name: a metric of this evaluation.
            category: a category's name, ``mean`` or ``pooled``.
        """
        known = [s.name for s in self.specs]
        if name not in known:
            raise ConfigError(f"metric {name!r} was not evaluated; {near_matches(name, known)}")
        estimates = self._estimated()
        if category == "mean":
            return _mean([estimates[c][name] for c in self.categories]).replicates
        return estimates[category][name].replicates

    def all_replicates(self) -> dict[tuple[str, str], NDArray[np.float64]]:
        """Return (metric, category) to its value on every resample, (R,), for all rows of the report that have one.

        Runs with one seed over the same images draw the same resamples, so their replicates can be
        subtracted (``bootstrap.paired``).
        """
        names = [*self.categories, "mean", *(["pooled"] if self.protocol.pooled else [])]
        found = {(s.name, c): self.replicates(s.name, c) for s in self.specs for c in names}
        return {key: values for key, values in found.items() if values is not None}

    def all_parts(self) -> dict[tuple[str, str], Parts]:
        """Return (kind, category or ``pooled``) to what every image adds, for ``swap_parts.swapped``; none without
        resamples. Images are in the order of their categories and ids.
        """
        if self.protocol.resamples == 0:
            return {}
        sets, estimates = self._sets(), self._estimated()
        return {
            (kind, name): parts
            for name, images in sets.items()
            for kind, parts in parts_of(images, self.specs, estimates[name], self.protocol).items()
        }

    def breakdown(self) -> list[Row]:
        """Return every metric by defect type, by defect size, without good images, and over single images."""
        return list(breakdown(self._sets(), self.specs, self.protocol))

    def _sets(self) -> dict[str, list[KeptImage]]:
        """Images of each category, and ``pooled`` where there are several and the protocol has it."""
        sets = {category: self._sorted(category) for category in self.categories}
        if self.protocol.pooled and len(sets) > 1:
            sets["pooled"] = [image for images in sets.values() for image in images]
        return sets

    def curves(self) -> dict[str, Counts]:
        """Return category (and ``pooled``) to pooled counts at up to 256 thresholds, for precision-recall curves."""
        found: dict[str, Counts] = {}
        for category, estimates in self._estimated().items():
            drawn = [e.curve for e in estimates.values() if e.curve is not None]
            if drawn:
                found[category] = drawn[0]
        return found

    def outcomes(self) -> dict[str, dict[str, int]]:
        """Return category to outcome to number of images; every outcome is listed."""
        images = self._images
        counted = Counter((images[at].category, images[at].outcome) for at in range(len(images)))
        return {c: {o: counted[c, o] for o in OUTCOMES} for c in self.categories}

    def rows(self) -> Sequence[dict[str, Any]]:
        """Return one row a sample, in the order in which they were added; unknown entries are None.

        Rows are made when they are asked for.
        """
        images = self._images
        iou = np.full(len(images), np.nan)
        for category in self.categories:
            some = [i for i in self._sorted(category) if i.outcome == "ok" and i.has_mask]
            found, counts = binary_counts(some, self.protocol)
            iou[[some[at].at for at in found]] = image_iou(counts)
        return Lazy(len(images), lambda at: _row(images[at], float(iou[at])))

    def _sorted(self, category: str) -> list[KeptImage]:
        return sorted((self._images[at] for at in self._images.categories.places(category)), key=lambda i: i.id)

    def _estimated(self) -> dict[str, dict[str, Estimate]]:
        if self._estimates is not None:
            return self._estimates
        found: dict[str, dict[str, Estimate]] = {}
        everything: list[KeptImage] = []
        drawn: list[Multiplicities] = []
        for category in self.categories:
            images = self._sorted(category)
            weights = self._weights(category, len(images))
            found[category] = estimate(images, self.specs, protocol=self.protocol, weights=weights)
            everything += images
            if weights is not None:
                drawn.append(weights)
        if self.protocol.pooled:
            if len(found) == 1:
                found["pooled"] = next(iter(found.values()))
            else:
                together = self._together(drawn)
                found["pooled"] = estimate(everything, self.specs, protocol=self.protocol, weights=together)
        self._estimates = found
        return found

    def _together(self, drawn: Sequence[Multiplicities]) -> Weights:
        """Resamples of all images: category by category, or of all at once where one has too few to be resampled."""
        if not drawn:
            return None
        if min(weights.shape[1] for weights in drawn) < FEWEST:
            return self._weights("pooled", sum(weights.shape[1] for weights in drawn))
        return side_by_side(drawn)

    def _weights(self, category: str, n: int) -> Weights:
        if self.protocol.resamples == 0:
            return None
        return bootstrap.resample(n, resamples=self.protocol.resamples, seed=self.seed, stratum=category)


def _record(spec: MetricSpec, category: str, e: Estimate, ends: Interval) -> MetricRecord:
    return MetricRecord(
        metric=spec.name,
        level=spec.level,
        category=category,
        value=None if math.isnan(e.value) else e.value,
        reason=e.reason,
        n=e.n,
        n_defective=e.n_defective,
        n_skipped=e.n_skipped,
        low=ends.low,
        high=ends.high,
        no_interval=ends.reason,
        threshold=e.threshold,
    )


def _with_variants(specs: tuple[MetricSpec, ...], protocol: Protocol) -> tuple[MetricSpec, ...]:
    names = [s.name for s in specs]
    if protocol.f1_thresholds == "linspace100" and "f1_max" in names and "f1_max_linspace100" not in names:
        names.insert(names.index("f1_max") + 1, "f1_max_linspace100")
    return metrics(names)


def _mean(estimates: Sequence[Estimate]) -> Estimate:
    """Unweighted mean over the categories in which the metric is defined."""
    defined = [e for e in estimates if not math.isnan(e.value)]
    drawn = [e.replicates for e in defined if e.replicates is not None]
    replicates = None
    if defined and len(drawn) == len(defined):
        stacked = np.stack(drawn)
        known = np.isfinite(stacked)
        sums = np.where(known, stacked, 0.0).sum(axis=0)
        replicates = np.divide(sums, known.sum(axis=0), out=np.full(sums.shape, np.nan), where=known.any(axis=0))
    reasons = sorted({e.reason for e in estimates if e.reason})
    return Estimate(
        value=float(np.mean([e.value for e in defined])) if defined else math.nan,
        reason=None if defined else "undefined in every category: " + "; ".join(reasons or ["no image was scored"]),
        n=sum(e.n for e in defined),
        n_defective=sum(e.n_defective for e in defined),
        n_skipped=len(estimates) - len(defined),
        threshold=None,
        replicates=replicates,
    )


def _row(image: KeptImage, iou: float) -> dict[str, Any]:
    ok = image.outcome == "ok"
    row: dict[str, Any] = {
        "id": image.id,
        "category": image.category,
        "defect_type": image.defect_type,
        "group": image.group,
        "defective": image.defective,
        "outcome": image.outcome,
        "message": image.message,
        "image_score": image.image_score if ok else None,
        "label": image.label if ok else None,
        "iou": None if math.isnan(iou) else iou,
        "n_defect_pixels": image.n_defect_pixels if image.has_mask else None,
        "n_pixels": image.n_pixels,
        "rationale": image.rationale,
    }
    row |= {name: None if math.isnan(value) else value for name, value in image.values.items()}
    return row | dict(image.extra)

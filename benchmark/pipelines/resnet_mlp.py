"""The supervised baseline: pooled features into a multi-layer perceptron, cross-validated over the test samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from benchmark.config.group_option import group_option
from benchmark.config.pipeline import ImageResults, Pipeline, Plan, Use
from benchmark.core.errors import DataError
from benchmark.core.samples import Prediction, Sample
from benchmark.core.text import counted
from benchmark.models.backbone import Backbone
from benchmark.models.choice import RANDOM, Networks, ResolvedWeights
from benchmark.models.head import Head, OutOfFold, cross_validate, merge_groups
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage
from benchmark.weights.used import WeightsUsed

if TYPE_CHECKING:
    from benchmark.stages.codec import Artifact

NAME = "resnet_mlp"


class ResnetMlp(Pipeline):
    """Pooled features and an MLP head (domain-gap paper, section 3.3: a ResNet, F2 = 0.82 on its own data).

    The samples to predict are also what is learnt from, by cross-validation: every image is predicted by
    a classifier that saw neither it nor any image of its group. One classifier serves all categories of
    the dataset together; folds are stratified by label. The dataset's train split is not used.
    """

    backbone: Annotated[Backbone, group_option("pipeline.backbone")]
    """Its pooled features are used; with random weights too they are something to learn from."""
    batch_size: int = Field(ge=1)
    folds: int = Field(ge=2)
    hidden: tuple[int, ...] = Field(min_length=1)
    alpha: float = Field(ge=0)
    epochs: int = Field(ge=1)
    balance: bool
    threshold: Annotated[float, Field(ge=0, le=1)] | Literal["f2_inner"]
    """Probability from which an image is called defective, or ``f2_inner``: chosen in the training folds."""
    inner_folds: int = Field(ge=2)

    def networks(self) -> Networks:
        """Return the backbone; with random weights nothing is to be found, nor to be allowed.

        Random features are a baseline of their own here, as what is learnt from them is real, so that they do not
        make the result meaningless.
        """
        return Networks() if self.backbone.weights == RANDOM else Networks(wanted=self.backbone.wanted("backbone"))

    def refuses(self, use: Use) -> str | None:
        """Refuse both: it learns from the labels of the very images that it predicts."""
        return "it learns from the labels of the images that it predicts" + (
            ", and nobody has labelled tiles" if use == "tiles" else ", fold by fold"
        )

    def plan(self, context: Context) -> Plan:
        """Plan the out-of-fold prediction of every sample whose features could be computed.

        ``image_score`` is the probability of being defective; ``extra`` has the ``fold`` and the ``threshold``. Too
        few groups of a class for the folds are a DataError once the features are there.

        Raises:
            DataError: one class only.
        """
        _require_both_classes(context)
        stages = dict.fromkeys(context.categories, (self._features(context),))
        return Plan(stages=stages, predict_all=partial(self._predict_all, context))

    def _predict_all(self, context: Context, images: Iterable[ImageResults]) -> Iterator[tuple[Sample, Prediction]]:
        found = [(one.sample, one.artifact["features"]) for one in images]
        if not found:
            return
        samples, features = zip(*found, strict=True)
        result = self._cross_validate(context, samples, np.stack(features))
        yield from ((sample, _prediction(result, i)) for i, sample in enumerate(samples))

    def tables(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        """Return the table ``folds``: what each fold reaches, see ``fold_scores``."""
        return {"folds": fold_scores(rows)}

    def _cross_validate(self, context: Context, samples: Sequence[Sample], features: np.ndarray) -> OutOfFold:
        def report(done: int) -> None:
            if context.on_progress is not None:
                context.on_progress("folds", done, self.folds, 0)

        return cross_validate(
            features,
            np.array([s.defective for s in samples]),
            merge_groups([s.group for s in samples], [s.sha256 for s in samples]),
            folds=self.folds,
            head=Head(hidden=self.hidden, alpha=self.alpha, epochs=self.epochs, balance=self.balance),
            threshold=None if self.threshold == "f2_inner" else self.threshold,
            inner_folds=self.inner_folds,
            seed=context.seed,
            on_fold=report,
        )

    def _features(self, context: Context) -> Stage:
        chosen = context.chosen.get("backbone") or self._random(context)

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            network = self.backbone.load(context, chosen, pooled=True)
            return [{"features": row} for row in network.pooled([one.pixels for one in inputs])]

        facts = self.backbone.facts(source="torchvision", pooled=True)
        model, side, precision = facts.pop("model"), facts.pop("side"), facts.pop("precision")
        if precision != "fp32":
            facts["precision"] = precision
        return Stage(
            name="resnet_features",
            version=1,
            settings={"backbone": model, "input_size": side, **facts},
            weights={"backbone": chosen.sha256 if chosen.path else "random initial values"},
            compute=compute,
            batch_size=self.batch_size,
        )

    def _random(self, context: Context) -> ResolvedWeights:
        """Random initial values, recorded with the result."""
        name = f"{self.backbone.name} with random initial values"
        used = WeightsUsed(name=name, sha256="", licence=None, trained_on=(), target_data=())
        context.note_weights(used)
        return ResolvedWeights(sha256=f"random {self.backbone.source} {self.backbone.name}", path=None, used=used)


def fold_scores(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return precision, recall and F2 = 5TP / (5TP + 4FN + FP) of each fold.

    Args:
        rows: per-image rows with ``fold`` (None: not in a fold), ``defective``, ``label`` and ``threshold``.

    Returns:
        One row per fold in order: fold, n, n_defective, threshold, precision, recall, f2; a score is None
        where the fold does not define it (no defective image; none called defective).
    """
    by_fold: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row.get("fold") is not None:
            by_fold.setdefault(int(row["fold"]), []).append(row)
    return [_fold_score(fold, members) for fold, members in sorted(by_fold.items())]


def _fold_score(fold: int, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    tp = sum(bool(r["defective"]) and bool(r["label"]) for r in rows)
    fn = sum(bool(r["defective"]) and not r["label"] for r in rows)
    fp = sum(not r["defective"] and bool(r["label"]) for r in rows)
    return {
        "fold": fold,
        "n": len(rows),
        "n_defective": tp + fn,
        "threshold": rows[0].get("threshold"),
        "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / (tp + fn) if tp + fn else None,
        "f2": 5 * tp / (5 * tp + 4 * fn + fp) if tp + fn else None,
    }


def _prediction(result: OutOfFold, i: int) -> Prediction:
    probability, threshold = float(result.probability[i]), float(result.threshold[i])
    extra: dict[str, float | int | str | None] = {"fold": int(result.fold[i]), "threshold": threshold}
    return Prediction(image_score=probability, label=probability >= threshold, extra=extra)


def _require_both_classes(context: Context) -> None:
    """Refuse before any feature is computed."""
    n_defective = sum(s.defective for s in context.samples)
    if n_defective in (0, len(context.samples)):
        kind = "defective" if n_defective else "good"
        raise DataError(
            f"dataset {context.manifest.dataset!r}: all {counted(len(context.samples), 'sample is', 'samples are')} "
            f"{kind}; {NAME} learns from "
            "good and defective ones. Check the label policy of the dataset, or run.limit"
        )

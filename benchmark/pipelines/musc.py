"""MuSc: unlabelled images of a category score each other; what most others lack is anomalous."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from benchmark.config.pipeline import Pipeline, Plan
from benchmark.core.errors import BenchmarkError, DataError
from benchmark.core.samples import Prediction, Sample
from benchmark.models.choice import Networks
from benchmark.models.musc import mutual_scores, parts_of, rescore
from benchmark.models.score_map import resized, square
from benchmark.pipelines.square_backbone import SquareBackbone, side_of
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    import torch

    from benchmark.stages.codec import Artifact

NAME = "musc"


class MuSc(Pipeline):
    """MuSc (Li et al., ICLR 2024, arXiv 2401.16753; xrli-U/MuSc): no text, no training images, no labels.

    It is transductive: the scores of an image depend on all test images of its category that the run predicts, so
    that another ``run.limit`` gives other scores. The result says so. Beside the official code: large categories are
    split by chance (there evenly by kind of defect, which needs the labels), image vectors are always brought to
    length 1 (there DINO's are not), and maps are drawn at the image's own size.
    """

    toy: ClassVar = {"neighbourhoods": "[1,3]"}

    backbone: SquareBackbone
    """Each layer is scored by itself, on the grid of the first one; ``side`` must be given."""
    neighbourhoods: tuple[int, ...] = Field(min_length=1)
    """Sides of the squares of patches that features are averaged over, odd (r of the paper)."""
    share: float = Field(gt=0, le=1)
    """Part of the other images, the most similar ones, whose mean distance is a patch's score."""
    most: int = Field(ge=2)
    """Images that score each other; a category with more is split by run.seed into parts of about equal size."""
    similar: tuple[Annotated[int, Field(ge=1)], ...]
    """Numbers of most similar images of the category, itself among them, that an image score is averaged over."""
    batch_size: int = Field(ge=1)
    """Images that are scored while the others are gone through once; their features are held."""
    allow_random_weights: bool

    @field_validator("neighbourhoods")
    @classmethod
    def _odd(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(size < 1 or size % 2 == 0 for size in value):
            raise ValueError("give odd numbers from 1")
        return value

    def networks(self) -> Networks:
        """Return the network of the features."""
        return Networks(wanted=self.backbone.wanted(), allow_random=self.allow_random_weights)

    def learns(self) -> tuple[str, str]:
        """Return what the images say of each other."""
        return f"{NAME}: test images scored by each other (transductive)", "all its test images, without labels"

    def check(self, context: Context) -> None:
        """Raise DataError for a category with one image only."""
        for category, samples in _by_category(context.samples).items():
            if len(samples) < 2:
                raise DataError(
                    f"{context.manifest.dataset}/{category} has one test image, {NAME} compares test images with each "
                    "other: give it more (dataset.categories, run.limit), or choose another pipeline"
                )

    def plan(self, context: Context) -> Plan:
        """Plan the score map and the image score, from 0 to 1.

        ``compared`` of ``extra`` is the number of images that it was compared with. The features are named beside
        the scores that rest on them, so that every shard computes its own ones first.
        """
        features = self._features(context)
        stages = {category: (features, self._scores(context, features, category)) for category in context.categories}
        return Plan(stages=stages, predict_all=lambda _: self._predict_all(context, stages))

    def _predict_all(
        self, context: Context, stages: Mapping[str, tuple[Stage, Stage]]
    ) -> Iterator[tuple[Sample, Prediction]]:
        """The scores alone are read, not the features below them."""
        found: dict[str, Artifact] = {}
        for category, samples in _by_category(context.samples).items():
            found |= {sample.id: artifact for sample, artifact in context.run(stages[category][1], samples)}
        scores = self._image_scores(context.samples, found)
        for sample in context.samples:
            if sample.id in found:
                artifact = found[sample.id]
                score_map = resized(self._square(artifact["scores"]), (int(artifact["height"]), int(artifact["width"])))
                extra: dict[str, float | int | str | None] = {"compared": int(artifact["compared"])}
                yield sample, Prediction(score_map=score_map, image_score=scores[sample.id], extra=extra)

    def _parts(self, context: Context, category: str) -> list[list[Sample]]:
        """The images of a category that score each other."""
        samples = _by_category(context.samples)[category]
        names = parts_of([sample.sha256 for sample in samples], most=self.most, seed=context.seed)
        return [[sample for sample in samples if sample.sha256 in part] for part in map(set, names)]

    def _features(self, context: Context) -> Stage:
        """The feature maps of an image, its vector and its size."""

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            network = self.backbone.load(context, context.chosen["features"], pooled=True)
            images = [one.pixels for one in inputs]
            vectors = network.pooled(images)
            return [
                {
                    **{f"layer{number}": level.cpu().numpy() for number, level in enumerate(features.maps)},
                    "vector": vector / max(float(np.linalg.norm(vector)), 1e-12),
                    "height": image.shape[0],
                    "width": image.shape[1],
                }
                for features, vector, image in zip(network.features(images), vectors, images, strict=True)
            ]

        return Stage(
            name="musc_features",
            version=1,
            settings=self.backbone.facts(),
            weights={"features": context.chosen["features"].sha256},
            compute=compute,
            batch_size=self.batch_size,
            expected_bytes=22_400_000,  # four layers of 37 x 37 x 1024 float32, as the paper has them
        )

    def _scores(self, context: Context, features: Stage, category: str) -> Stage:
        """Each patch's score by the other images of its part of the category, (P,)."""
        parts = self._parts(context, category)
        started: list[bool] = []

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            if not started:  # all that is missing at once, and not image by image below
                started.append(True)
                for _ in context.run(features, [sample for part in parts for sample in part]):
                    pass
            own = {one.sample.sha256: one.upstream[features.name] for one in inputs if one.sample is not None}
            found: dict[str, Artifact] = {}
            for part in parts:
                names = {sample.sha256 for sample in part}
                mine = {name: artifact for name, artifact in own.items() if name in names}
                found |= self._scored(context, features, part, mine) if mine else {}
            return [found[name] for name in own]

        contents = sorted(sample.sha256 for part in parts for sample in part)
        return Stage(
            name="musc_scores",
            version=1,
            settings={
                "neighbourhoods": list(self.neighbourhoods),
                "share": self.share,
                "images": hashlib.sha256("".join(contents).encode()).hexdigest(),
                "parts": None if len(parts) == 1 else {"number": len(parts), "seed": context.seed},
            },
            compute=compute,
            upstream=(features,),
            batch_size=self.batch_size,
            own_batch=True,
            needs_image=False,
        )

    def _scored(
        self, context: Context, features: Stage, part: Sequence[Sample], own: Mapping[str, Artifact]
    ) -> dict[str, Artifact]:
        """Score some images of a part by all others of it, which are read one at a time."""
        met: list[str] = []

        def others() -> Iterator[tuple[str, list[torch.Tensor]]]:
            for sample in part:
                artifact = _stored(context, features, sample)
                if artifact is not None:
                    met.append(sample.sha256)
                    yield sample.sha256, self._maps(context, artifact)

        wanted = {name: self._maps(context, artifact) for name, artifact in own.items()}
        scores = mutual_scores(wanted, others(), sizes=self.neighbourhoods, share=self.share)
        return {
            name: {"scores": scores[name], "compared": len(met) - 1}
            | {key: artifact[key] for key in ("vector", "height", "width")}
            for name, artifact in own.items()
        }

    def _maps(self, context: Context, artifact: Artifact) -> list[torch.Tensor]:
        import torch

        count = len(self.backbone.layers)
        return [torch.from_numpy(artifact[f"layer{number}"]).to(context.device) for number in range(count)]

    def _image_scores(self, samples: Sequence[Sample], found: dict[str, Artifact]) -> dict[str, float]:
        """The largest value of each map, leant on those of the most similar images of the category."""
        scores: dict[str, float] = {}
        for members in _by_category([sample for sample in samples if sample.id in found]).values():
            artifacts = [found[sample.id] for sample in members]
            largest = np.array([self._square(artifact["scores"]).max() for artifact in artifacts], dtype=np.float64)
            vectors = np.stack([artifact["vector"] for artifact in artifacts])
            again = rescore(largest, vectors, numbers=self.similar)
            scores |= {sample.id: float(score) for sample, score in zip(members, again, strict=True)}
        return scores

    def _square(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Draw the scores over the network's input, (S, S)."""
        side = side_of(self.backbone)
        return resized(square(scores), (side, side), resampling="bilinear_corners")


def _by_category(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.category, []).append(sample)
    return found


def _stored(context: Context, stage: Stage, sample: Sample) -> Artifact | None:
    """Read what a stage has of an image, computing it where the store let go of it; None: the file is no image.

    Raises:
        BenchmarkError: it could not be computed for another reason, which says nothing of the image itself.
    """
    from benchmark.data.images import load_image

    artifact = context.stage_cache.stored(stage, stage.key(sample.sha256))
    if artifact is not None:
        return artifact
    for _, computed in context.run(stage, [sample]):
        return computed
    try:
        load_image(sample.image, sample.reading)
    except DataError:
        return None
    raise BenchmarkError(f"{NAME} needs every image of {sample.category}: {context.failed[sample.id]}")

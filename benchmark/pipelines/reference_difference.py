"""The pipeline ``reference_difference``: align to a reference, subtract, call what differs defective.

The preliminary study of Baeuerle et al. (arXiv 2509.20479, section 3.3), which found it insufficient for acoustic
images: scans and mechanical tolerances vary too much.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.config.pipeline import ImageResults, Pipeline, Plan, Use
from benchmark.core.errors import DataError
from benchmark.core.samples import Prediction, Reading, Sample
from benchmark.core.settings import FileOr
from benchmark.core.text import counted
from benchmark.data.align import WEAK_NOTE, Aligned, AlignSettings, align, is_weak
from benchmark.stages.codec import Artifact
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What the images of one category are compared with."""

    image: Image
    """(H, W, 3) RGB."""
    threshold: float
    """Grey levels; a larger difference is a defect."""
    origin: str
    """For messages: the file, or the category whose median it is."""


class ReferenceDifference(Pipeline):
    """The pipeline option ``reference_difference``."""

    reference: Annotated[str | Path, FileOr(("median",))]
    """``median``: the median of aligned good training images of each category; else the path of an image."""
    reference_images: int = Field(ge=2)
    """Most training images per category, spread evenly, for the median and the threshold."""
    align: AlignSettings
    smoothing: float = Field(ge=0)
    """Deviation of the Gaussian over the difference, pixels; 0: none."""
    image_percentile: float = Field(gt=0, le=100)
    """The image score is this percentile of the score map; 100 is its maximum."""
    threshold: Literal["train"] | float
    """Grey levels; ``train``: mean + threshold_sigma deviations of the good training images' image scores."""
    threshold_sigma: float = Field(ge=0)

    def refuses(self, use: Use) -> str | None:
        """Refuse tiles beside a given reference, which is of the whole image."""
        return "pipeline.reference is a whole image" if use == "tiles" and self.reference != "median" else None

    def by_place(self) -> bool:
        """Return that a pixel is compared with the same one of the reference."""
        return True

    def plan(self, context: Context) -> Plan:
        """Plan no stage: a difference costs less than reading it from the store.

        Raises:
            DataError: no good training image where one is needed, or an unreadable reference.
        """
        references = {category: self._reference(context, category) for category in context.categories}

        def predict(one: ImageResults) -> Prediction:
            reference = references[one.sample.category]
            _check_size(one.sample.image, one.pixels, reference.image, reference.origin)
            aligned = align(one.pixels, reference.image, self.align)
            if is_weak(aligned=aligned.aligned, correlation=aligned.correlation):
                context.tell(WEAK_NOTE)
            return self._predict(aligned, reference)

        return Plan(predict=predict, needs_image=True)

    def _predict(self, aligned: Aligned, reference: Reference) -> Prediction:
        score_map = self.difference(aligned, reference.image)
        score = self.image_score(score_map)
        return Prediction(
            score_map=score_map,
            mask=score_map > reference.threshold,
            image_score=score,
            label=score > reference.threshold,
            extra={"aligned": int(aligned.aligned), "correlation": aligned.correlation},
        )

    def difference(self, aligned: Aligned, reference: Image) -> NDArray[np.float32]:
        """Return the score map, (H, W) float32 in grey levels 0..255, of an aligned image.

        A pixel's score is the largest absolute difference among the colour channels, smoothed. Pixels that the
        image does not show after the warp score 0, before and after smoothing.
        """
        import cv2

        score: NDArray[np.float32] = cv2.absdiff(aligned.image, reference).max(axis=2).astype(np.float32)
        score[~aligned.valid] = 0.0
        if self.smoothing > 0:
            score = cv2.GaussianBlur(score, (0, 0), self.smoothing, borderType=cv2.BORDER_REPLICATE)
            score[~aligned.valid] = 0.0
        return score

    def image_score(self, score_map: NDArray[np.float32]) -> float:
        """Return the image score, grey levels, of a score map."""
        if self.image_percentile == 100.0:
            return float(score_map.max())
        return float(np.percentile(score_map, self.image_percentile))

    def _reference(self, context: Context, category: str) -> Reference:
        """Look up or compute the reference of one category."""
        train = [s for s in context.manifest.train if s.category == category and not s.defective]
        chosen = _spread(train, self.reference_images)
        given = None if self.reference == "median" else _read(Path(self.reference), context.manifest.reading)
        wanted = f"category {category!r} of dataset {context.manifest.dataset!r}"
        if given is None and not chosen:
            raise DataError(
                f"{wanted} has no good training image to take a reference from; "
                "give one: pipeline.reference=<path of an image> pipeline.threshold=<grey levels>"
            )
        if self.threshold == "train" and len(chosen) < 2:
            raise DataError(
                f"{wanted} has {counted(len(chosen), 'good training image')}, pipeline.threshold=train needs two; "
                "give grey levels: pipeline.threshold=40"
            )
        origin = str(self.reference) if given is not None else f"the first training image {chosen[0].image}"
        if given is not None and self.threshold != "train":
            return Reference(image=given, threshold=float(self.threshold), origin=origin)
        made = context.once(self._stage(context, category, chosen, given), _content(chosen))
        image, scores = np.asarray(made["reference"], dtype=np.uint8), np.asarray(made["scores"])
        threshold = (
            float(scores.mean() + self.threshold_sigma * scores.std())
            if self.threshold == "train"
            else float(self.threshold)
        )
        return Reference(image=image, threshold=threshold, origin=origin)

    def _stage(self, context: Context, category: str, chosen: Sequence[Sample], given: Image | None) -> Stage:
        """The stage that makes the reference and scores the training images against it."""

        def compute(_: Sequence[Inputs]) -> list[Artifact]:
            images = self._training_images(context, chosen, given)
            reference = self._median(images) if given is None else given
            scores = [self.image_score(self.difference(align(i, reference, self.align), reference)) for i in images]
            return [{"reference": reference, "scores": np.array(scores, dtype=np.float64)}]

        return Stage(
            name="reference_difference",
            version=1,
            settings={
                "category": category,
                "reference": "median"
                if given is None
                else hashlib.sha256(repr(given.shape).encode() + given.tobytes()).hexdigest(),
                "align": self.align.model_dump(),
                "smoothing": self.smoothing,
                "image_percentile": self.image_percentile,
            },
            compute=compute,
            needs_image=False,
        )

    def _training_images(self, context: Context, chosen: Sequence[Sample], given: Image | None) -> list[Image]:
        images: list[Image] = []
        for sample, image in context.images(chosen):
            first = given if given is not None else (images[0] if images else image)
            _check_size(sample.image, image, first, str(self.reference) if given is not None else str(chosen[0].image))
            images.append(image)
        if len(images) < len(chosen):
            # A reference from fewer images would be another reference under the same name.
            unread = next(sample for sample in chosen if sample.id in context.failed)
            raise DataError(f"a training image cannot be used: {context.failed[unread.id]}")
        return images

    def _median(self, images: Sequence[Image]) -> Image:
        """Median per pixel and channel of the images aligned to the first one; those that do not align stay out."""
        aligned = [align(image, images[0], self.align) for image in images[1:]]
        stack = [images[0], *(a.image for a in aligned if a.aligned or self.align.motion == "none")]
        # Row by row in blocks, as the median sorts a copy.
        blocks = [
            np.floor(np.median([image[row : row + 64] for image in stack], axis=0) + 0.5)
            for row in range(0, images[0].shape[0], 64)
        ]
        return np.concatenate(blocks).astype(np.uint8)


def _spread(samples: Sequence[Sample], limit: int) -> list[Sample]:
    """At most ``limit`` samples, spread evenly over the sequence."""
    n = min(limit, len(samples))
    return [samples[i * len(samples) // n] for i in range(n)]


def _content(samples: Sequence[Sample]) -> str:
    return hashlib.sha256("\n".join(sample.sha256 for sample in samples).encode()).hexdigest()


def _read(path: Path, reading: Reading) -> Image:
    from benchmark.data.images import load_image

    if not path.is_file():
        raise DataError(f"{path}: no such reference image; set pipeline.reference to median or to an image file")
    return load_image(path, reading)


def _check_size(path: Path, image: Image, reference: Image, origin: str) -> None:
    if image.shape != reference.shape:
        size, wanted = f"{image.shape[1]}x{image.shape[0]}", f"{reference.shape[1]}x{reference.shape[0]}"
        raise DataError(
            f"{path}: the image is {size} (width x height), its reference ({origin}) is {wanted}; "
            "images and reference must have one size: resize them, or give a fitting pipeline.reference"
        )

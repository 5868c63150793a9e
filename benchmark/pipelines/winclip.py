"""WinCLIP: windows of an image against texts of normal and damaged states, and against a few normal images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.config.group_option import group_option
from benchmark.config.pipeline import ImageResults, Pipeline, Plan
from benchmark.core.errors import ConfigError, DataError
from benchmark.core.samples import Prediction
from benchmark.core.text import counted
from benchmark.models.choice import Networks
from benchmark.models.clip_stages import ToRgb, prompt_vectors, seen
from benchmark.models.clip_windows import Patches, WindowVectors, window_vectors
from benchmark.models.sam_stages import Channels
from benchmark.models.score_map import resized, square
from benchmark.models.text_image import TextImage, TextImageNetwork
from benchmark.models.winclip import (
    Floats,
    Fusion,
    HarmonicOf,
    Mean,
    abnormal,
    fuse,
    l2_normalise,
    reference_map,
    text_map,
)
from benchmark.pipelines.references import GOOD, normal_images
from benchmark.pipelines.states import States
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    import torch

    from benchmark.stages.codec import Artifact

NAME = "winclip"


class WinClip(Pipeline):
    """WinCLIP (Jeong et al., CVPR 2023), one set of maths for its three public re-implementations.

    They differ in templates, temperature, colour order, the member of the mean that stands for the whole image, and
    how a few normal images are joined; the presets name them.
    """

    toy: ClassVar = {"clip.model": "toy_plus", "clip.input_size": "96"}

    clip: Annotated[TextImage, group_option("pipeline.clip", usual="benchmark.models.clip_stages.ClipSettings")]
    states: States
    temperature: float = Field(gt=0)
    windows: tuple[int, ...] = Field(min_length=1)
    """Sides of the windows, in patches."""
    harmonic_of: HarmonicOf
    image_term: bool
    """The whole image is one more scale of the map."""
    shots: int = Field(ge=0)
    """Good training images of each category, chosen by run.seed; 0: zero-shot."""
    shot_patches: Patches
    """Single patches that are compared too, with ``shots``."""
    shot_mean: Mean
    """Over the windows that cover a patch, with ``shots``."""
    shot_slip: bool
    """The first window of each further size is compared with the normal windows of the size before it."""
    fusion: Fusion
    image_score: Literal["image", "map_max"]
    """``image``: the abnormal probability of the whole image, with ``shots`` its mean with the map's maximum."""
    resize: Literal["pixels", "tensor"]
    """Bicubic with antialias on 8-bit pixels, or on floats."""
    channels: Channels
    """``bgr``: test images have their channels in the wrong order, normal ones not."""
    enlarge: int | None = Field(ge=32)
    """Images are first resized to this square, bilinear without antialias; null: not."""
    to_rgb: ToRgb
    allow_random_weights: bool

    def networks(self) -> Networks:
        """Return CLIP."""
        return Networks(wanted=self.clip.wanted(), allow_random=self.allow_random_weights)

    def learns(self) -> tuple[str, str] | None:
        """Return the memory of normal images, with ``shots``."""
        return (f"{NAME}: {counted(self.shots, 'normal image')} of each category", GOOD) if self.shots else None

    def check(self, context: Context) -> None:
        """Raise ConfigError for a network without windows, names of no category, ways to resize that clash.

        Raises:
            DataError: fewer good training images than ``shots``.
        """
        if self.to_rgb == "after_resize" and (self.enlarge is not None or self.resize != "pixels"):
            raise ConfigError(
                "pipeline.to_rgb=after_resize is one resize of pixels; set enlarge=null and resize=pixels"
            )
        if reason := self.clip.lacks("windows"):
            raise ConfigError(f"pipeline.clip: WinCLIP lets windows through the image side alone: {reason}")
        self.states.check(context.manifest)
        for category in context.categories if self.shots else ():
            normal_images(context, category, number=self.shots, setting="pipeline.shots")

    def plan(self, context: Context) -> Plan:
        """Plan a score map and an image score.

        The texts and the normal images of one category are held at a time. Windows larger than the grid are a
        ConfigError of the stage, as the network is loaded there.
        """
        stage = self._vectors(context, self.channels)

        @lru_cache(maxsize=1)
        def known(category: str) -> tuple[Floats, WindowVectors | None]:
            return self._texts(context, category), self._memory(context, category)

        def predict(one: ImageResults) -> Prediction:
            texts, memory = known(one.sample.category)
            return self._predict(_read(one.artifact, len(self.windows)), texts, memory, one.artifact)

        return Plan(stages=dict.fromkeys(context.categories, (stage,)), predict=predict)

    def _predict(
        self, vectors: WindowVectors, texts: Floats, memory: WindowVectors | None, artifact: Artifact
    ) -> Prediction:
        side, sizes = int(artifact["side"]), self.windows
        whole = float(abnormal(vectors.image[0], texts, temperature=self.temperature))
        zero = text_map(
            [windows[0] for windows in vectors.windows],
            texts,
            sizes=sizes,
            side=side,
            temperature=self.temperature,
            harmonic_of=self.harmonic_of,
            image_score=whole if self.image_term else None,
        )
        few = None
        if memory is not None:
            few = reference_map(vectors, memory, sizes=sizes, side=side, mean=self.shot_mean, slipped=self.shot_slip)
            whole = (whole + float(few.max())) / 2
        drawn = resized(square(fuse(zero, few, self.fusion)), (int(artifact["height"]), int(artifact["width"])))
        return Prediction(score_map=drawn, image_score=whole if self.image_score == "image" else float(drawn.max()))

    def _texts(self, context: Context, category: str) -> Floats:
        """The unit vectors of the normal and the abnormal prompts: of the mean of vectors as they are."""
        found = [
            prompt_vectors(context, self.clip, context.chosen, prompts) for prompts in self.states.prompts(category)
        ]
        return l2_normalise(np.stack([vectors.mean(axis=0) for vectors in found]))

    def _memory(self, context: Context, category: str) -> WindowVectors | None:
        """The vectors of the normal images; None without any."""
        if not self.shots:
            return None
        images = normal_images(context, category, number=self.shots, setting="pipeline.shots")
        found = [
            _read(artifact, len(self.windows)) for _, artifact in context.run(self._vectors(context, "rgb"), images)
        ]
        if len(found) < self.shots:
            raise DataError(
                f"{self.shots - len(found)} of the {counted(self.shots, 'normal image')} of {category} cannot be used"
            )
        patches = [one.patches for one in found if one.patches is not None]
        return WindowVectors(
            image=np.concatenate([one.image for one in found]),
            windows=tuple(np.concatenate(same) for same in zip(*(one.windows for one in found), strict=True)),
            patches=np.concatenate(patches) if patches else None,
        )

    def _vectors(self, context: Context, channels: Channels) -> Stage:
        """The vectors of an image and its windows, and its size."""
        chosen, patches = context.chosen, self.shot_patches if self.shots else "none"

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            images = [one.pixels for one in inputs]
            network = self.clip.load(context, chosen)
            grid = self.clip.side // network.tower.patch
            if max(self.windows) > grid:
                raise ConfigError(f"pipeline.windows: {max(self.windows)} patches on a grid of {grid} x {grid}")
            shown = [seen(one, self.clip.side, to_rgb=self.to_rgb) for one in inputs]
            prepared = [self._pixels(network, image, channels) for image in shown]
            found = window_vectors(network, prepared, sizes=self.windows, patches=patches)
            return [_artifact(found, i, image.shape, grid) for i, image in enumerate(images)]

        return Stage(
            name="winclip_vectors",
            version=1,
            settings={
                **self.clip.facts(),
                "windows": list(self.windows),
                "patches": patches,
                "resize": self.resize,
                "channels": channels,
                "enlarge": self.enlarge,
                **({} if self.to_rgb == "first" else {"to_rgb": self.to_rgb}),
            },
            weights={"clip": chosen["clip"].sha256},
            compute=compute,
            batch_size=self.clip.batch_size,
            # 14 x 14 and 13 x 13 windows of 640 float32, with shots 15 x 15 patches of 896
            expected_bytes=930_000 if patches == "none" else 1_740_000,
        )

    def _pixels(self, network: TextImageNetwork, image: NDArray[np.uint8], channels: Channels) -> torch.Tensor:
        """Prepare an image for the network."""
        import cv2

        pixels = np.ascontiguousarray(image if channels == "rgb" else image[..., ::-1])
        if self.enlarge is not None:
            pixels = np.asarray(cv2.resize(pixels, (self.enlarge, self.enlarge)), dtype=np.uint8)
        return self.clip.prepare(network, pixels, on=self.resize)


def _artifact(found: WindowVectors, i: int, shape: tuple[int, ...], side: int) -> dict[str, object]:
    arrays = {f"windows_{n}": windows[i] for n, windows in enumerate(found.windows)}
    if found.patches is not None:
        arrays["patches"] = found.patches[i]
    return {"image": found.image[i], **arrays, "height": shape[0], "width": shape[1], "side": side}


def _read(artifact: Artifact, sizes: int) -> WindowVectors:
    """Read the artifact of one image, as a batch of one."""
    patches = artifact.get("patches")
    return WindowVectors(
        image=artifact["image"][None],
        windows=tuple(artifact[f"windows_{n}"][None] for n in range(sizes)),
        patches=None if patches is None else patches[None],
    )

"""WinCLIP: windows of an image against texts of normal and damaged states, and against a few normal images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from benchmark.errors import ConfigError, DataError
from benchmark.models.choice import Chosen, choose, needed
from benchmark.models.clip import squash
from benchmark.models.clip_windows import Patches, WindowVectors, window_vectors
from benchmark.models.prompted import Channels
from benchmark.models.winclip import Floats, Fusion, HarmonicOf, Mean, abnormal, fuse, reference_map, text_map, unit
from benchmark.models.worded import ClipSettings, prompt_vectors
from benchmark.pipelines.references import normal_images, note_training
from benchmark.pipelines.states import States, draw
from benchmark.samples import Prediction, Sample
from benchmark.settings import Settings
from benchmark.stages import Context, Inputs, Stage

if TYPE_CHECKING:
    import torch

    from benchmark.artifacts import Artifact

NAME = "winclip"


class WinClip(Settings):
    """WinCLIP (Jeong et al., CVPR 2023), one set of maths for its three public re-implementations.

    They differ in templates, temperature, colour order, the member of the mean that stands for the whole image, and
    how a few normal images are joined; the presets name them.
    """

    clip: ClipSettings
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
    allow_random_weights: bool

    def needed_weights(self) -> tuple[str, ...]:
        """Return the names of the registered weights that this pipeline needs."""
        return needed(self.clip.wanted())

    def stages(self, context: Context) -> Sequence[Stage]:
        """Return the stage of the window vectors.

        Raises:
            ConfigError: random weights that were not allowed.
            WeightsError: weights are missing or damaged.
        """
        return (self._vectors(context, self._prepare(context), self.channels),)

    def predict(self, context: Context) -> Iterator[tuple[Sample, Prediction]]:
        """Yield the score map and the image score of every sample.

        Raises:
            ConfigError: random weights that were not allowed, or windows larger than the grid.
            DataError: fewer good training images than ``shots``.
            WeightsError: weights are missing or damaged.
        """
        chosen = self._prepare(context)
        for category, samples in groupby(context.samples, key=lambda sample: sample.category):
            texts = self._texts(context, chosen, category)
            memory = self._memory(context, chosen, category)
            for sample, artifact in context.run(self._vectors(context, chosen, self.channels), list(samples)):
                yield sample, self._predict(_read(artifact, len(self.windows)), texts, memory, artifact)

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
        drawn = draw(fuse(zero, few, self.fusion), (int(artifact["height"]), int(artifact["width"])))
        return Prediction(score_map=drawn, image_score=whole if self.image_score == "image" else float(drawn.max()))

    def _prepare(self, context: Context) -> dict[str, Chosen]:
        """Check what can be checked before any work, and find the weights."""
        self.states.check(context.manifest)
        chosen = choose(context, self.clip.wanted(), pipeline=NAME, allow_random=self.allow_random_weights)
        if self.shots:
            for category in dict.fromkeys(sample.category for sample in context.samples):
                normal_images(context, category, number=self.shots, setting="pipeline.shots")
            note_training(context, f"{NAME}: {self.shots} normal images of each category")
        return chosen

    def _texts(self, context: Context, chosen: dict[str, Chosen], category: str) -> Floats:
        """The unit vectors of the normal and the abnormal prompts: of the mean of vectors as they are."""
        found = [prompt_vectors(context, self.clip, chosen, prompts) for prompts in self.states.prompts(category)]
        return unit(np.stack([vectors.mean(axis=0) for vectors in found]))

    def _memory(self, context: Context, chosen: dict[str, Chosen], category: str) -> WindowVectors | None:
        """The vectors of the normal images; None without any."""
        if not self.shots:
            return None
        images = normal_images(context, category, number=self.shots, setting="pipeline.shots")
        found = [
            _read(artifact, len(self.windows))
            for _, artifact in context.run(self._vectors(context, chosen, "rgb"), images)
        ]
        if len(found) < self.shots:
            raise DataError(f"{self.shots - len(found)} of the {self.shots} normal images of {category} cannot be used")
        patches = [one.patches for one in found if one.patches is not None]
        return WindowVectors(
            image=np.concatenate([one.image for one in found]),
            windows=tuple(np.concatenate(same) for same in zip(*(one.windows for one in found), strict=True)),
            patches=np.concatenate(patches) if patches else None,
        )

    def _vectors(self, context: Context, chosen: dict[str, Chosen], channels: Channels) -> Stage:
        """The vectors of an image and its windows, and its size."""
        patches = self.shot_patches if self.shots else "none"

        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            images = [one.pixels for one in inputs]
            network = self.clip.load(context, chosen)
            grid = self.clip.input_size // network.network.visual.patch_size[0]
            if max(self.windows) > grid:
                raise ConfigError(f"pipeline.windows: {max(self.windows)} patches on a grid of {grid} x {grid}")
            prepared = [self._pixels(image if channels == "rgb" else image[..., ::-1]) for image in images]
            found = window_vectors(network, prepared, sizes=self.windows, patches=patches)
            return [_artifact(found, i, image.shape, grid) for i, image in enumerate(images)]

        return Stage(
            name="winclip_vectors",
            version=1,
            settings={
                "model": self.clip.model,
                "precision": self.clip.precision,
                "input_size": self.clip.input_size,
                "windows": list(self.windows),
                "patches": patches,
                "resize": self.resize,
                "channels": channels,
                "enlarge": self.enlarge,
            },
            weights={"clip": chosen["clip"].sha256},
            compute=compute,
            batch_size=self.clip.batch_size,
        )

    def _pixels(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """Prepare an image for CLIP."""
        import cv2

        pixels = np.ascontiguousarray(image)
        if self.enlarge is not None:
            pixels = np.asarray(cv2.resize(pixels, (self.enlarge, self.enlarge)), dtype=np.uint8)
        return squash(pixels, self.clip.input_size, on=self.resize)


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

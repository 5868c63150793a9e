"""Tags of the Recognize Anything Model, from the user's own installation of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import ConfigError
from benchmark.core.samples import Sample
from benchmark.models.choice import ResolvedWeights, WeightsRequest, WeightsSetting
from benchmark.models.runtime import Device, Precision
from benchmark.pipelines.iap.taggers.base import ROLE, ImageTags, Tag, Tagged, Tagger
from benchmark.stages.context import Context
from benchmark.stages.stage import Inputs, Stage

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from benchmark.stages.codec import Artifact

NOT_INSTALLED = (
    "the package `ram` (xinyu1205/recognize-anything) is not installed; it is on no package index and pins an old "
    "transformers, so install it and its patches yourself, or use tagger@pipeline.tagger=clip_vocab"
)
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class Ram(Tagger):
    """RAM Swin-L with its own threshold for every class, as IAP-AS runs it."""

    toy = None

    weights: WeightsSetting
    """``published``, a name of the weights registry, or the path of a file."""
    side: int
    """Side of the square input, pixels."""
    precision: Precision

    def wanted(self) -> dict[str, WeightsRequest]:
        """Return RAM's weights."""
        return {ROLE: WeightsRequest(weights=self.weights, published="ram_swin_large_14m", network="RAM")}

    def identity(self) -> Mapping[str, Any]:
        """Return kind, input side and precision."""
        return {"kind": "ram", "side": self.side, "precision": self.precision}

    def check(self) -> None:
        """Raise ConfigError where the user has not installed RAM, or asks for random weights of it."""
        if self.weights == "random":
            raise ConfigError("the tagger ram has no random weights; use tagger@pipeline.tagger=clip_vocab")
        if find_spec("ram") is None:
            raise ConfigError(NOT_INSTALLED)

    def look(
        self,
        context: Context,
        chosen: Mapping[str, ResolvedWeights],
        normals: Sequence[Sample],
        *,
        dataset: str,
        category: str,
    ) -> Tagged:
        """Return RAM's tags of every image, in the order of its list; it gives no scores."""
        stage = self._stage(context, chosen[ROLE])
        images = []
        for sample, artifact in context.run(stage, normals):
            images.append(ImageTags(sample=sample, tags=tuple(Tag(str(w), None) for w in artifact["tags"])))
        return Tagged(images=tuple(images))

    def _stage(self, context: Context, weights: ResolvedWeights) -> Stage:
        def compute(inputs: Sequence[Inputs]) -> list[Artifact]:
            inference_ram = import_module("ram").inference_ram
            device = Device(name=context.device, precision=self.precision)
            network = context.model(("ram", weights.sha256, self.side, device), lambda: self._load(weights, device))
            answers: list[Artifact] = []
            for one in inputs:
                with device.inference():
                    pixels = prepared(one.pixels, self.side)[None].to(device.name)
                    answers.append({"tags": list(tags_of(inference_ram(pixels, network)))})
            return answers

        return Stage(
            name="ram_tags",
            version=1,
            settings={"side": self.side, "precision": self.precision},
            weights={"ram": weights.sha256},
            compute=compute,
        )

    def _load(self, weights: ResolvedWeights, device: Device) -> Any:
        build = import_module("ram.models").ram
        return build(pretrained=str(weights.path), image_size=self.side, vit="swin_l").eval().to(device.name)


def prepared(image: NDArray[np.uint8], side: int) -> torch.Tensor:
    """Return an image, (H, W, 3) uint8 RGB, as RAM takes it: (3, side, side) float32, squeezed, bicubic.

    Source: sybeam27/IAP-ZSAS:utils/function.py, load_image.
    """
    from PIL import Image
    from torchvision.transforms.functional import normalize, to_tensor

    squeezed = Image.fromarray(image).resize((side, side))
    normal: torch.Tensor = normalize(to_tensor(squeezed), MEAN, DEVIATION)
    return normal


def tags_of(answer: Any) -> tuple[str, ...]:
    """Read what ``inference_ram`` returns: English tags first, as ``"a | b"`` or as a list; public copies differ."""
    english = answer[0] if isinstance(answer, tuple | list) and answer else answer
    words = english.split("|") if isinstance(english, str) else english
    if not isinstance(words, tuple | list) or not all(isinstance(word, str) for word in words):
        raise ConfigError(
            f"this copy of RAM answers with {type(english).__name__} instead of tags (some forks return "
            "probabilities); install the authors' own, or use tagger@pipeline.tagger=clip_vocab"
        )
    return tuple(word.strip() for word in words if word.strip())

"""The settings of a feature network, an option of the group ``backbone``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from benchmark.core.settings import NameOrFile, Settings
from benchmark.models import pretrained
from benchmark.models.backbone.layers import IMAGENET_MEAN, IMAGENET_STD, PATTERN
from benchmark.models.backbone.network import Channels, FeatureNetwork, Resize
from benchmark.models.choice import PUBLISHED, RANDOM, ResolvedWeights, WeightsRequest, WeightsSetting
from benchmark.models.runtime import Device, Precision

if TYPE_CHECKING:
    from benchmark.models.backbone.source import Source
    from benchmark.stages.context import Context

_OLD_WEIGHTS = {"none": RANDOM, "imagenet": "a name of the weights registry, such as resnet50_imagenet"}


class Backbone(Settings):
    """Which network images are described by, what of it is used, and how images go in."""

    toy_option = "backbone"
    toy: ClassVar = {"side": "96"}

    source: Literal["timm", "torchvision", "transformers", "open_clip"]
    """The library that has the network."""
    model: Annotated[NameOrFile, Field(min_length=1)]
    """Its name there; for ``transformers`` a name of the hub, or a folder with ``config.json``."""
    weights: WeightsSetting
    """``published`` are the library's own, from the hub."""
    layers: tuple[Annotated[str, Field(pattern=PATTERN)], ...] = Field(min_length=1)
    """Which maps, fine to coarse: ``stride8`` of a convolutional network, ``block11``, ``block-1`` of a transformer."""
    norm: bool
    """Apply a transformer's last normalisation to the tokens of every block."""
    side: int | None = Field(ge=16)
    """Images are resized to this square, whole, pixels; null: they keep their size."""
    resize: Resize
    """Bilinear: ``antialias`` averages where it shrinks, ``bilinear`` does not, ``opencv`` does not and rounds."""
    mean: Channels | None
    std: Channels | None
    """Per RGB channel, of values in [0, 1]; null: the model's own."""
    precision: Precision

    @field_validator("model", "weights", mode="before")
    @classmethod
    def _known_word(cls, value: object) -> object:
        if value == "???":
            raise ValueError("is not set; this option wants it to be given")
        if isinstance(value, str) and value in _OLD_WEIGHTS:
            raise ValueError(f"is now said by {_OLD_WEIGHTS[value]}")
        return value

    def wanted(self, role: str = "features") -> dict[str, WeightsRequest]:
        """Return what to ask ``choose`` for."""
        word = self._source().published(self.model) if self.weights == PUBLISHED else None
        return {role: WeightsRequest(weights=self.weights, published=word, network=f"{role} {self.name}")}

    @property
    def name(self) -> str:
        """The model's name; of a folder, the last part."""
        return Path(self.model).resolve().name if Path(self.model).is_dir() else self.model

    def facts(
        self,
        *,
        layers: Sequence[str] = ("stride8", "stride16"),
        source: str = "timm",
        resize: str = "antialias",
        pooled: bool = False,
    ) -> dict[str, Any]:
        """Return what of these settings changes the features, as JSON values for a stage.

        What is as the arguments say, and the normalisation where it is ImageNet's, is left out: stages have no more
        to say of the networks that they began with, and what was stored of these is found again.

        Args:
            layers, source, resize: what a pipeline began with.
            pooled: it asks for pooled features, whatever the layers are.

        Raises:
            WeightsError: the model's description must be read from a file that is not there.
        """
        own = self._source()
        mean, std = self._normalisation()
        usual: dict[str, Any] = {
            "source": source,
            "resize": resize,
            "mean": list(IMAGENET_MEAN),
            "std": list(IMAGENET_STD),
        }
        told: dict[str, Any] = {"source": self.source, "resize": self.resize, "mean": list(mean), "std": list(std)}
        if not pooled:
            usual |= {"layers": list(layers), "norm": False}
            told |= {"layers": list(self.layers), "norm": self.norm}
        base = {"model": self.name, "precision": self.precision, "side": self.side, **own.described_by(self.model)}
        return base | {key: value for key, value in told.items() if value != usual[key]}

    def load(self, context: Context, weights: ResolvedWeights, *, pooled: bool = False) -> FeatureNetwork:
        """Return the network on the context's device, loading it at the first call.

        Args:
            weights: from ``choose``.
            pooled: for pooled features; the maps are then there too, and so is what the network has behind them.

        Raises:
            ConfigError: the model is not known, or has no such layer, or does not take such a side.
            WeightsError: the weights are damaged or belong to another network.
        """
        named = (self.source, pretrained.key_of(self.model))
        key = ("backbone", *named, weights.sha256, context.device, self.layers, self.norm, pooled)
        own = self._source()
        body = context.model(
            (*key, self.side if own.one_side(self.model) else None),
            lambda: own.build(self, weights=weights.path, device=context.device, pooled=pooled),
        )
        mean, std = self._normalisation()
        device = Device(name=context.device, precision=self.precision)
        return FeatureNetwork(body=body, device=device, side=self.side, resize=self.resize, mean=mean, std=std)

    def _normalisation(self) -> tuple[Channels, Channels]:
        if self.mean is not None and self.std is not None:
            return self.mean, self.std
        mean, std = self._source().normalisation(self.model)
        return self.mean or mean, self.std or std

    def _source(self) -> Source:
        from benchmark.models.backbone import from_open_clip, from_timm, from_torchvision, from_transformers

        libraries: dict[str, Source] = {
            "timm": from_timm,
            "torchvision": from_torchvision,
            "transformers": from_transformers,
            "open_clip": from_open_clip,
        }
        return libraries[self.source]

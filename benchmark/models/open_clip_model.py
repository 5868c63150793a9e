"""Any network of open_clip as an option of the group ``clip``: SigLIP 2, PE-Core, MetaCLIP, DFN, EVA …"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from benchmark.core.errors import ConfigError, WeightsError
from benchmark.models import pretrained, runtime
from benchmark.models.backbone import from_open_clip
from benchmark.models.choice import PUBLISHED, ResolvedWeights, WeightsRequest, WeightsSetting
from benchmark.models.clip import ClipTower, squash
from benchmark.models.clip_build import not_a_weight
from benchmark.models.compiling import Quick, quicken
from benchmark.models.long_texts import LongTexts, TextReader
from benchmark.models.runtime import Device
from benchmark.models.text_image import Floats, Logits, Need, TextImage, TextImageNetwork, mean_direction
from benchmark.stages.context import Context
from benchmark.weights import hub

if TYPE_CHECKING:
    import torch

_SEEN_WHOLE = ("image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio", "ls_init_value")
"""What an image side may say of itself that WinCLIP's windows go through: a transformer with a class token."""
_KEY = "pipeline.clip.model"


def _given(model: str) -> str:
    if model == "???":
        raise ValueError("is not set; this option wants it to be given")
    return model


class OpenClip(TextImage):
    """Which network of open_clip, and how its image side computes."""

    toy: ClassVar = None

    model: Annotated[str, AfterValidator(_given)]
    """A name that open_clip lists."""
    weights: WeightsSetting
    """``published`` are those that open_clip names first, from the hub."""
    compile: bool
    """Whether the image side is compiled (torch.compile); by rounding, vectors differ."""
    input_size: int | None = Field(ge=32)
    """Side of the square that images are resized to, pixels; null: the model's own."""

    @property
    def side(self) -> int:
        """Side of the square that images are resized to, pixels."""
        return self.input_size or int(self._config()["vision_cfg"]["image_size"])

    def wanted(self) -> dict[str, WeightsRequest]:
        """Return what to ask ``choose`` for.

        Raises:
            ConfigError: open_clip has no such model, or one whose text side it would fetch by itself.
        """
        self._config()
        published = from_open_clip.published(self.model) if self.weights == PUBLISHED else None
        return {"clip": WeightsRequest(weights=self.weights, published=published, network=f"CLIP {self.model}")}

    def facts(self) -> dict[str, Any]:
        """Return what of these settings changes vectors of images, as JSON values for a stage.

        Raises:
            WeightsError: the tokenizer is not on this machine: no images are seen whose texts cannot be read.
        """
        self._tokenizer_folder()
        compiled = {"compile": True} if self.compile else {}
        return {**self._name(), "precision": self.precision, "input_size": self.side, **compiled}

    def text_facts(self) -> dict[str, Any]:
        """Return what of these settings changes vectors of texts, as JSON values for a stage.

        Raises:
            WeightsError: the tokenizer is not on this machine.
        """
        folder = self._tokenizer_folder()
        return self._name() | ({"tokenizer": pretrained.words_digest(folder)} if folder else {})

    def lacks(self, need: Need) -> str | None:
        """Return what stands against a method's need (``TextImage.lacks``)."""
        config = self._config()
        if need == "sigmoid":
            return None if "init_logit_bias" in config else f"{self.model} has only shares of a softmax"
        vision = config["vision_cfg"]
        if isinstance(vision.get("layers"), int) and set(vision) <= set(_SEEN_WHOLE):
            return None
        return (
            f"the image side of {self.model} is no transformer that ends in its class token; "
            "take one that is (a ViT of OpenAI, LAION, DFN, MetaCLIP: ViT-B-16-quickgelu)"
        )

    def prepare(
        self, network: TextImageNetwork, image: NDArray[np.uint8], *, on: Literal["pixels", "tensor"] = "pixels"
    ) -> torch.Tensor:
        """Resize an image, whole, and normalise it as the model was trained with (``TextImage.prepare``)."""
        mean, std = from_open_clip.normalisation(self.model)
        resample = from_open_clip.interpolation(self.model)
        return squash(image, self.side, on=on, mean=mean, std=std, resample=resample)

    def load(self, context: Context, chosen: Mapping[str, ResolvedWeights]) -> OpenClipNetwork:
        """Return the network, loaded once in this process."""
        device = Device(name=context.device, precision=self.precision)
        weights = chosen["clip"]

        def load() -> OpenClipNetwork:
            network = _built(self.model, self.side, weights.path, device=device.name)
            quicken(network.visual, what="clip's image side", compiled=self.compile, device=device)
            width = int(self._config()["embed_dim"])
            return OpenClipNetwork(network, self._tokenizer(), device=device, width=width, compiled=self.compile)

        return context.model(("open_clip", self.model, weights.sha256, device, self.side, self.compile), load)

    def _name(self) -> dict[str, Any]:
        return {"source": "open_clip", "model": self.model}

    def _config(self) -> dict[str, Any]:
        config = from_open_clip.config_of(self.model, key=_KEY)
        if config["text_cfg"].get("hf_model_name"):
            raise ConfigError(
                f"{_KEY}={self.model}: its text side is a model of transformers that open_clip fetches by itself, "
                "unpinned; take another (MetaCLIP 2 and SigLIP 2 read many languages)"
            )
        return config

    def _tokenizer_folder(self) -> Path | None:
        """Return the folder of a tokenizer of the hub; None: open_clip's own is used.

        Raises:
            WeightsError: it is not on this machine.
        """
        name = self._config()["text_cfg"].get("hf_tokenizer_name")
        if not name:
            return None
        given = self.weights.parent if isinstance(self.weights, Path) else None
        if given is not None and (given / "tokenizer.json").is_file():
            return given
        try:
            return hub.local_folder(f"{hub.PREFIX}{name}")
        except WeightsError as error:
            raise WeightsError(
                f"{self.model} reads texts by the tokenizer of {name}: {error}  "
                "(or put its files beside the weights file that pipeline.clip.weights names)"
            ) from None

    def _tokenizer(self) -> Any:
        import open_clip
        from open_clip.tokenizer import HFTokenizer

        folder = self._tokenizer_folder()
        if folder is None:
            return open_clip.get_tokenizer(self.model)
        pretrained.tokenizer(str(folder))  # refuses one without words
        text = self._config()["text_cfg"]
        return HFTokenizer(
            str(folder),
            context_length=text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH),
            tokenizer_mode=text.get("tokenizer_mode"),
            **text.get("tokenizer_kwargs", {}),
            **pretrained.STRICT,
        )


class OpenClipNetwork:
    """A network of images and texts of open_clip (``TextImageNetwork``).

    Args:
        network: ``open_clip.CLIP``, ``CustomTextCLIP`` or ``CoCa``.
        tokenizer: of texts to (N, context length) ids.
        device: where the network lies, and the precision of its image side; texts are float32.
        width: length of its vectors.
        compiled: whether its image side is, for windows too.
    """

    def __init__(self, network: Any, tokenizer: Any, *, device: Device, width: int, compiled: bool = False) -> None:
        self.network, self.tokenizer, self.device, self.width = network, tokenizer, device, width
        self._compiled = compiled
        bias = getattr(network, "logit_bias", None)
        self.logits = Logits(float(network.logit_scale.exp()), None if bias is None else float(bias))

    @cached_property
    def tower(self) -> ClipTower:
        """Its image side in steps, of a network with a class token."""
        found = ClipTower(self.network.visual)
        if self._compiled or self.device.precision != "fp32":
            how = Quick(found.encode, what="clip's windows", compiled=self._compiled, device=self.device)
            found.encode = how  # type: ignore[method-assign]
        return found

    def vectors(self, images: Sequence[torch.Tensor]) -> Floats:
        """Embed prepared images, (3, s, s) each: (B, E) float32, not normalised."""
        import torch

        with self.device.inference():
            found = self.network.encode_image(self.device.send(torch.stack(list(images))))
            return np.asarray(found.float().cpu().numpy(), dtype=np.float32)

    @property
    def reader(self) -> TextReader:
        """How much of a text it reads."""
        return TextReader(
            encode=partial(_encoded, self.tokenizer),
            decode=getattr(self.tokenizer, "tokenizer", self.tokenizer).decode,
            most=int(self.network.context_length),
        )

    def text(self, prompts: Sequence[str], *, long_texts: LongTexts = "refuse") -> Floats:
        """Embed a text given as several prompts: their unit vectors' mean, made a unit vector; (E,)."""
        return mean_direction(self.text_vectors(prompts, long_texts=long_texts))

    def text_vectors(self, prompts: Sequence[str], *, long_texts: LongTexts = "refuse") -> Floats:
        """Embed prompts one by one: (N, E), not normalised; raises ConfigError for one that is refused as too long."""
        self.reader.check(prompts, long_texts)
        with Device(name=self.device.name).inference():
            found = self.network.encode_text(self.tokenizer(list(prompts)).to(self.device.name))
            return np.asarray(found.float().cpu().numpy(), dtype=np.float32)


def _encoded(tokenizer: Any, prompt: str) -> list[int]:
    """Return the tokens of a text, special ones included, where nothing is cut off."""
    own = getattr(tokenizer, "tokenizer", None)
    if own is None:
        return [tokenizer.sot_token_id, *tokenizer.encode(prompt), tokenizer.eot_token_id]
    tokens: list[int] = own(tokenizer.clean_fn(prompt), verbose=False)["input_ids"]
    # With it a class token goes behind all others.
    return [*tokens, own.cls_token_id] if getattr(tokenizer, "tokenizer_mode", "") == "clips" else tokens


def _built(model: str, side: int, weights: Path | None, *, device: str) -> Any:
    """Build a network, load its weights, and fit its image side to the side of its input.

    Raises:
        ConfigError: its image side takes no other side than its own.
        WeightsError: the file is damaged or belongs to another network.
    """
    import open_clip

    def make() -> Any:
        return open_clip.create_model(model, pretrained=None, precision="fp32", pretrained_text=False)

    network: Any = runtime.load(runtime.build(make, device=device, weights=weights), weights, optional=not_a_weight)
    visual = network.visual
    own = visual.image_size[0] if isinstance(visual.image_size, tuple) else visual.image_size
    if side == own:
        return network
    trunk = getattr(visual, "trunk", None)
    if hasattr(trunk, "set_input_size") if trunk is not None else hasattr(visual, "positional_embedding"):
        from_open_clip.set_side(visual, side)
        return network
    raise ConfigError(f"pipeline.clip.input_size={side}: {model} takes images of {own} pixels only; set it to null")

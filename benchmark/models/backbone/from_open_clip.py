"""Image towers of open_clip (SigLIP2, PE-Core, CLIP): the tower alone is built, never the text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.errors import ConfigError, near_matches
from benchmark.models import runtime
from benchmark.models.backbone.layers import check_side, indices_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchmark.models.backbone.network import Channels
    from benchmark.models.backbone.source import Architecture


@dataclass(frozen=True, kw_only=True, eq=False)
class TowerBody:
    """An image tower, for ``FeatureNetwork``."""

    tower: Any
    indices: Sequence[int]
    norm: bool

    def maps(self, pixels: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        """Return a map and a class token, or None, for each block (``Body.maps``)."""
        asked = list(dict.fromkeys(sorted(self.indices)))
        found = self.tower.forward_intermediates(
            pixels,
            indices=asked,
            stop_early=True,
            normalize_intermediates=self.norm,
            intermediates_only=True,
            output_extra_tokens=True,
        )
        prefixes = found.get("image_intermediates_prefix") or [None] * len(asked)
        pairs = dict(zip(asked, zip(found["image_intermediates"], prefixes, strict=True), strict=True))
        return [(pairs[index][0], _first(pairs[index][1])) for index in self.indices]

    def pooled(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the image embedding that texts are compared with (``Body.pooled``)."""
        found: torch.Tensor = self.tower(pixels)
        return found


def published(model: str) -> str | None:
    """Return the hub's repository that open_clip names first for this model."""
    for one in _published(model):
        owner, _, rest = one.get("hf_hub", "").rstrip("/").partition("/")
        if rest:  # some name a file of the usual name behind the repository's
            name, _, file = rest.partition("/")
            return f"hub:{owner}/{name}" + ("" if file else ":open_clip")
    return None


def normalisation(model: str) -> tuple[Channels, Channels]:
    """Return mean and deviation of the model's first published weights, or OpenAI's, which are open_clip's default."""
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    first = next(iter(_published(model)), {})
    return tuple(first.get("mean", OPENAI_DATASET_MEAN)), tuple(first.get("std", OPENAI_DATASET_STD))


def interpolation(model: str) -> str:
    """Return how images were resized for the model's first published weights: ``bicubic`` or ``bilinear``."""
    said = next(iter(_published(model)), {}).get("interpolation", "bicubic")
    return said if said in ("bicubic", "bilinear") else "bicubic"


def described_by(model: str) -> dict[str, Any]:
    """Return nothing: the name says it all."""
    return {}


def one_side(model: str) -> bool:
    """Return True: towers are transformers."""
    return True


def build(settings: Architecture, *, weights: Path | None, device: str, pooled: bool) -> TowerBody:
    """Build the image tower for the side that is asked for (``Source.build``).

    Source: mlfoundations/open_clip:src/open_clip/model.py (_build_vision_tower), timm_model.py.

    Raises:
        ConfigError: open_clip has no such model, or it has no such blocks, or the side is not whole patches.
        WeightsError: the file is damaged or belongs to another network.
    """
    config = config_of(settings.model, key="backbone.model")
    vision = config["vision_cfg"]
    if isinstance(vision.get("layers"), list):
        raise ConfigError(f"backbone.model={settings.model}: only towers that are transformers are supported")

    def make() -> nn.Module:
        from open_clip.model import _build_vision_tower

        tower: nn.Module = _build_vision_tower(config["embed_dim"], vision, quick_gelu=config.get("quick_gelu", False))
        return tower

    tower: Any = runtime.build(make, device=device)
    trunk = getattr(tower, "trunk", None)
    if trunk is None:
        strides = [int(vision["patch_size"])] * len(tower.transformer.resblocks)
    else:
        strides = [int(level["reduction"]) for level in trunk.feature_info]
    indices = indices_of(settings.layers, strides, model=settings.model)
    side = check_side(settings.side, patch=strides[0], model=settings.model)
    runtime.load(tower, weights, adapt=_of_the_tower)
    if side != int(vision["image_size"]):
        set_side(tower, side)
    return TowerBody(tower=tower, indices=indices, norm=settings.norm)


def set_side(tower: Any, side: int) -> None:
    """Interpolate the places of a tower's transformer to another side of its input, pixels, a whole number of patches.

    Of open_clip's own towers bicubic without antialiasing, as MuSc does
    (xrli-U/MuSc:models/backbone/open_clip/model.py, resize_pos_embed).
    """
    from timm.layers import resample_abs_pos_embed
    from torch import nn

    if trunk := getattr(tower, "trunk", None):
        trunk.set_input_size(side)
        return
    grid = side // tower.patch_size[0]
    places = resample_abs_pos_embed(
        tower.positional_embedding[None], [grid, grid], num_prefix_tokens=1, interpolation="bicubic", antialias=False
    )
    tower.positional_embedding = nn.Parameter(places[0], requires_grad=False)


def _of_the_tower(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of the image tower under its own names; those of a whole model begin with ``visual.``."""
    prefix = "visual."
    own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return own or state


def _first(prefix: torch.Tensor | None) -> torch.Tensor | None:
    return prefix[:, 0] if prefix is not None and prefix.shape[1] > 0 else None


def config_of(model: str, *, key: str) -> dict[str, Any]:
    """Return what open_clip knows of a model; raises ConfigError, with the setting's key, where it knows none."""
    import open_clip

    found: dict[str, Any] | None = open_clip.get_model_config(model)
    if found is None:
        near = near_matches(model, open_clip.list_models())
        raise ConfigError(f"{key}={model}: open_clip has no such model; {near}")
    return found


def _published(model: str) -> list[dict[str, Any]]:
    """Weights that open_clip names for a model, but those that want another form of GELU, of which it only warns."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    quick = bool((open_clip.get_model_config(model) or {}).get("quick_gelu"))
    listed = [get_pretrained_cfg(model, tag) for tag in list_pretrained_tags_by_model(model)]
    return [one for one in listed if bool(one.get("quick_gelu")) == quick]

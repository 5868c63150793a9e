"""Where feature networks come from: one module a library, all with the functions of ``Source``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from benchmark.models.backbone.network import Body, Channels
    from benchmark.models.backbone.settings import Backbone


class Source(Protocol):
    """What the module of a library can do."""

    def published(self, model: str) -> str | None:
        """Return the library's own weights: a name of conf/weights, ``hub:OWNER/NAME`` or a file's path; None: none."""
        ...

    def normalisation(self, model: str) -> tuple[Channels, Channels]:
        """Return mean and deviation per RGB channel, of values in [0, 1], that the model was trained with."""
        ...

    def described_by(self, model: str) -> dict[str, Any]:
        """Return facts beside the name that make the architecture what it is; most names say it all."""
        ...

    def one_side(self, model: str) -> bool:
        """Whether the network is built for one side of its input, as transformers are."""
        ...

    def build(self, settings: Backbone, *, weights: Path | None, device: str, pooled: bool) -> Body:
        """Build the network and load its weights; None: seeded random ones."""
        ...


def source_of(name: str) -> Source:
    """Return the module of a library; it imports that library where it needs it."""
    from benchmark.models.backbone import from_open_clip, from_timm, from_torchvision, from_transformers

    found: dict[str, Source] = {
        "timm": from_timm,
        "torchvision": from_torchvision,
        "transformers": from_transformers,
        "open_clip": from_open_clip,
    }
    return found[name]

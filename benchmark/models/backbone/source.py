"""What the module of a library that has feature networks offers: ``from_timm``, ``from_torchvision`` …"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from benchmark.models.backbone.network import Body, Channels


class Architecture(Protocol):
    """Which network is wanted, and what of it; ``Backbone`` says what each of these means."""

    @property
    def model(self) -> str:
        """Name in the library."""
        ...

    @property
    def layers(self) -> tuple[str, ...]:
        """Which maps."""
        ...

    @property
    def norm(self) -> bool:
        """Whether tokens are normalised."""
        ...

    @property
    def side(self) -> int | None:
        """Side of the input, pixels."""
        ...


class Source(Protocol):
    """What the module of a library can do."""

    def published(self, model: str) -> str | None:
        """Return the library's own weights: a registry name, ``hub:OWNER/NAME`` or a file's path; None: none."""
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

    def build(self, settings: Architecture, *, weights: Path | None, device: str, pooled: bool) -> Body:
        """Build the network and load its weights; None: seeded random ones."""
        ...

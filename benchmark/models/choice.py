"""Which weights each network of a pipeline gets: published, the user's own, or random ones on demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from benchmark.core.errors import ConfigError, WeightsError
from benchmark.core.settings import FileOr
from benchmark.models.runtime import RANDOM_SEED
from benchmark.stages.context import Context
from benchmark.weights import LocalWeights, custom, hub, names, resolve
from benchmark.weights.local import command_for
from benchmark.weights.used import ResolvedWeights, WeightsUsed

__all__ = ["Networks", "ResolvedWeights", "WeightsRequest", "WeightsSetting", "choose", "note_training"]

RANDOM = "random"
PUBLISHED = "published"


def _is_name(word: str) -> bool:
    return word in names() or hub.is_name(word)


WeightsSetting = Annotated[str | Path, FileOr((PUBLISHED, RANDOM), _is_name)]
"""``published``, ``random``, a name of the weights registry, ``hub:OWNER/NAME``, or the path of a file."""


@dataclass(frozen=True, kw_only=True)
class WeightsRequest:
    """What a config asks for one network."""

    weights: str | Path
    """As of ``WeightsSetting``."""
    published: str | None
    """Name of the published weights in the weights registry or on the hub, or their path; None where there are none."""
    network: str
    """Name of the network, for messages and for the identity of random weights."""


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The networks of a pipeline."""

    wanted: Mapping[str, WeightsRequest] = field(default_factory=dict)
    """By role: ``sam``, ``detector`` …"""
    allow_random: bool = False
    """Whether random weights, which make results mean nothing, are what the user wants."""

    def registered(self) -> tuple[str, ...]:
        """Return the names of the weights registry and of the hub that these networks need, in order and once each."""
        asked = (_asked(want) for want in self.wanted.values())
        return tuple(dict.fromkeys(word for word in asked if _is_name(word)))

    def own_files(self) -> tuple[Path, ...]:
        """Return the user's own weights files, there or not, in order and once each."""
        asked = (_asked(want) for want in self.wanted.values() if want.weights != RANDOM)
        return tuple(dict.fromkeys(Path(word) for word in asked if word and not _is_name(word)))


def choose(context: Context, networks: Networks, *, pipeline: str) -> dict[str, ResolvedWeights]:
    """Find the weights of all networks of a pipeline before any work starts, and note them for the result.

    Args:
        context: knows the folder of the weights files.
        networks: what the config asks for.
        pipeline: option name, for the command that an error names.

    Returns:
        Role to weights.

    Raises:
        ConfigError: random weights without ``allow_random_weights=true``, or published ones of a toy.
        WeightsError: files are missing (all are listed), damaged, or the name is unknown.
    """
    for role, want in networks.wanted.items():
        if want.weights == RANDOM and not networks.allow_random:
            raise ConfigError(
                f"{role} is to run with random weights, whose results mean nothing; "
                "if that is what you want, set pipeline.allow_random_weights=true"
            )
        if want.weights == PUBLISHED and want.published is None:
            raise ConfigError(
                f"{role}: there are no published weights of {want.network!r}; "
                "use random ones (with pipeline.allow_random_weights=true) or another model"
            )
    registered = [name for name in networks.registered() if not hub.is_name(name)]
    absent = [name for name in networks.registered() if hub.is_name(name) and not hub.is_here(name)]
    try:
        found = resolve(registered, pipeline=pipeline, root=context.weights_root) if registered else {}
    except WeightsError as error:
        if not absent:
            raise
        raise WeightsError(f"{error}\nand of the hub {', '.join(absent)}: {command_for(absent)}") from None
    chosen = {role: _choose(want, found) for role, want in networks.wanted.items()}
    for choice in chosen.values():
        context.note_weights(choice.used)
    return chosen


def note_training(context: Context, name: str, images: str) -> None:
    """Say in the result that images of its own dataset were learnt from, so that it does not pass for zero-shot.

    Args:
        context: of the run.
        name: what was learnt.
        images: from which.
    """
    dataset = context.manifest.dataset
    context.note_weights(
        WeightsUsed(
            name=name,
            sha256="",
            licence=None,
            trained_on=(f"{dataset} ({images})",),
            target_data=(dataset,),
        )
    )


def _asked(want: WeightsRequest) -> str:
    """What is asked for, in a word: a name, or the path of a file."""
    return want.published or "" if want.weights == PUBLISHED else str(want.weights)


def _choose(want: WeightsRequest, found: Mapping[str, LocalWeights]) -> ResolvedWeights:
    if want.weights == RANDOM:
        name = f"{want.network} with random weights"
        used = WeightsUsed(name=name, sha256="", licence=None, trained_on=(), target_data=(), random=True)
        return ResolvedWeights(sha256=f"random {want.network} seed {RANDOM_SEED}", path=None, used=used)
    asked = _asked(want)
    local = found.get(asked) or (hub.resolve(asked) if hub.is_name(asked) else custom(Path(asked)))
    return ResolvedWeights(sha256=local.sha256, path=local.path, files=local.files, used=local.used())

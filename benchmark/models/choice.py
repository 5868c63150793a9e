"""Which weights each network of a pipeline gets: published, the user's own, or random ones on demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.errors import ConfigError
from benchmark.models.runtime import RANDOM_SEED
from benchmark.stages import Context, WeightsUsed
from benchmark.weights import LocalWeights, custom, hub, names, resolve

RANDOM = "random"
PUBLISHED = "published"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a config asks for one network."""

    weights: str
    """``published``, ``random``, a name of conf/weights, the path of a file, or ``hub:OWNER/NAME``."""
    published: str | None
    """Name of the published weights in conf/weights or on the hub, or their path; None where there are none."""
    network: str
    """Name of the network, for messages and for the identity of random weights."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The weights of one network, found and verified."""

    sha256: str
    """Digest of the file; for random weights a text that names the network and the seed."""
    path: Path | None
    """None: random weights."""
    used: WeightsUsed
    """What the result says about them."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """File name -> path, for a set of several files."""


def needed(wanted: Mapping[str, Wanted]) -> tuple[str, ...]:
    """Return the names of conf/weights and of the hub that ``wanted`` asks for, in order and once each."""
    asked = (_asked(want) for want in wanted.values())
    return tuple(dict.fromkeys(word for word in asked if word in names() or hub.is_name(word)))


def choose(context: Context, wanted: Mapping[str, Wanted], *, pipeline: str, allow_random: bool) -> dict[str, Chosen]:
    """Find the weights of all networks of a pipeline before any work starts, and note them for the result.

    Args:
        context: knows the folder of the weights files.
        wanted: role (``sam``, ``detector`` …) to what the config asks for.
        pipeline: option name, for the command that an error names.
        allow_random: the config's ``allow_random_weights``.

    Raises:
        ConfigError: random weights without ``allow_random_weights=true``, or published ones of a toy.
        WeightsError: files are missing (all are listed), damaged, or the name is unknown.
    """
    for role, want in wanted.items():
        if want.weights == RANDOM and not allow_random:
            raise ConfigError(
                f"{role} is to run with random weights, whose results mean nothing; "
                "if that is what you want, set pipeline.allow_random_weights=true"
            )
        if want.weights == PUBLISHED and want.published is None:
            raise ConfigError(
                f"{role}: there are no published weights of {want.network!r}; "
                "use random ones (with pipeline.allow_random_weights=true) or another model"
            )
    registered = [name for name in needed(wanted) if not hub.is_name(name)]
    found = resolve(registered, pipeline=pipeline, root=context.weights_root) if registered else {}
    chosen = {role: _choose(want, found) for role, want in wanted.items()}
    for choice in chosen.values():
        context.note_weights(choice.used)
    return chosen


def _asked(want: Wanted) -> str:
    """What is asked for, in a word: a name, or the path of a file."""
    return want.published or "" if want.weights == PUBLISHED else want.weights


def _choose(want: Wanted, found: Mapping[str, LocalWeights]) -> Chosen:
    if want.weights == RANDOM:
        name = f"{want.network} with random weights"
        used = WeightsUsed(name=name, sha256="", licence=None, trained_on=(), target_data=(), random=True)
        return Chosen(sha256=f"random {want.network} seed {RANDOM_SEED}", path=None, used=used)
    asked = _asked(want)
    local = found.get(asked) or (hub.resolve(asked) if hub.is_name(asked) else custom(Path(asked)))
    used = WeightsUsed(
        name=local.name,
        sha256=local.sha256,
        licence=local.licence,
        trained_on=local.trained_on,
        target_data=local.target_data,
    )
    return Chosen(sha256=local.sha256, path=local.path, files=local.files, used=used)

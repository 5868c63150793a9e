"""Which weights each network of a pipeline gets: published, the user's own, or random ones on demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.errors import ConfigError
from benchmark.models.runtime import RANDOM_SEED
from benchmark.weights import LocalWeights, custom, names, resolve

RANDOM = "random"
PUBLISHED = "published"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a config asks for one network."""

    weights: str
    """``published``, ``random``, a name of conf/weights, or the path of a file."""
    published: str | None
    """Registry name of the published weights; None where there are none."""
    network: str
    """Name of the network, for messages and for the identity of random weights."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The weights of one network, found and verified."""

    name: str
    sha256: str
    """Digest of the file; for random weights a text that names the network and the seed."""
    path: Path | None
    """None: random weights."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """File name -> path, for a set of several files."""
    source: LocalWeights | None = None
    """What the registry knows of them."""

    @property
    def random(self) -> bool:
        """Whether the weights are random, so that results mean nothing."""
        return self.path is None


def choose(wanted: Mapping[str, Wanted], *, pipeline: str, root: Path | None, allow_random: bool) -> dict[str, Chosen]:
    """Find the weights of all networks of a pipeline before any work starts.

    Args:
        wanted: role (``sam``, ``detector`` …) to what the config asks for.
        pipeline: option name, for the command that an error names.
        root: folder of the weights files.
        allow_random: the config's ``allow_random_weights``.

    Raises:
        ConfigError: random weights without ``allow_random_weights=true``, or published ones of a toy.
        WeightsError: files are missing (all are listed), damaged, or the name is unknown.
    """
    named: dict[str, str] = {}
    chosen: dict[str, Chosen] = {}
    for role, want in wanted.items():
        if want.weights == RANDOM:
            if not allow_random:
                raise ConfigError(
                    f"{role} is to run with random weights, whose results mean nothing; "
                    "if that is what you want, set pipeline.allow_random_weights=true"
                )
            identity = f"random {want.network} seed {RANDOM_SEED}"
            chosen[role] = Chosen(name=RANDOM, sha256=identity, path=None)
        elif want.weights == PUBLISHED and want.published is None:
            raise ConfigError(
                f"{role}: there are no published weights of {want.network!r}; "
                "use random ones (with pipeline.allow_random_weights=true) or another model"
            )
        elif want.weights == PUBLISHED or want.weights in names():
            named[role] = want.published if want.weights == PUBLISHED and want.published else want.weights
        else:
            chosen[role] = _from(custom(Path(want.weights)))
    found = resolve(sorted(set(named.values())), pipeline=pipeline, root=root) if named else {}
    chosen |= {role: _from(found[name]) for role, name in named.items()}
    return {role: chosen[role] for role in wanted}


def _from(local: LocalWeights) -> Chosen:
    return Chosen(name=local.name, sha256=local.sha256, path=local.path, files=local.files, source=local)

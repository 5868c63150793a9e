"""What a stage is: an expensive step of a pipeline, computed once per image content and then read from the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import ConfigError
from benchmark.core.samples import Sample
from benchmark.stages.codec import Artifact
from benchmark.stages.source import source_of


@dataclass(frozen=True)
class Inputs:
    """What a stage computes from, for one image."""

    sample: Sample | None
    """None for a stage that is not per image (``Context.once``)."""
    image: NDArray[np.uint8] | None
    """(H, W, 3) RGB; None where the stage does not need it."""
    upstream: Mapping[str, Artifact] = field(default_factory=dict)
    """Stage name to its artifact for the same image."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The ``image``, which is there in a stage that needs it."""
        assert self.image is not None
        return self.image


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """A pure function of one image's content, its upstream artifacts and its own settings.

    Two images with the same bytes share one result, so nothing else of a sample (its category, its
    name) may change the result: what differs by category goes into ``settings``, one stage a category.

    Raises:
        ConfigError: settings that are not JSON, or two upstream stages of one name.
    """

    name: str
    """Folder in the store: lower-case letters, digits, ``_``, ``-``, ``.``."""
    version: int
    """Raised whenever the code changes the result. Code outside this package is told by its source as well."""
    settings: Mapping[str, Any]
    """JSON values that change the result; never the device, the batch size or the workers."""
    compute: Callable[[Sequence[Inputs]], Sequence[Artifact]]
    """One artifact per input, in order; loads its model at the first call."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """Role to sha256 of the weights file."""
    upstream: tuple[Stage, ...] = ()
    batch_size: int | None = None
    """Images per call of ``compute`` where a run says nothing else (``Batching``); None: it works image by image."""
    own_batch: bool = False
    """True: no network takes the batch, and ``run.batch_size`` leaves it alone."""
    expected_bytes: int = 0
    """Of one stored entry, told by stages of large ones: a store at an address leaves those on the machine that
    computed them (``run.cache_remote_mb``), as sending them takes longer than computing them again."""
    needs_image: bool = True
    """False: ``compute`` works from the upstream artifacts alone, and no image is decoded for it."""

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise ConfigError(f"stage {self.name!r}: batch_size is {self.batch_size}, it must be at least 1")
        names = [stage.name for stage in self.upstream]
        if len(set(names)) != len(names):
            raise ConfigError(f"stage {self.name!r}: two upstream stages have one name ({', '.join(names)})")
        for name, value in self.settings.items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise ConfigError(f"stage {self.name!r}: setting {name!r} is not a JSON value ({error})") from error

    @property
    def facts(self) -> dict[str, Any]:
        """All that the fingerprint is taken from, as JSON values."""
        facts = {
            "name": self.name,
            "version": self.version,
            "settings": dict(self.settings),
            "weights": dict(self.weights),
            "upstream": {stage.name: stage.fingerprint for stage in self.upstream},
        }
        if source := source_of(self.compute):
            facts["source"] = source
        plain: dict[str, Any] = json.loads(json.dumps(facts))
        return plain

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) over name, version, settings, weights, the upstream fingerprints, and source from elsewhere."""
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def key(self, content: str) -> str:
        """Return the store key (hex) of this stage's result for an image content (its sha256)."""
        return hashlib.sha256(f"{self.fingerprint}:{content}".encode()).hexdigest()

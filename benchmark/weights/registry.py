"""The registry of weights: one YAML per set of weights in ``conf/weights``."""

from __future__ import annotations

import functools
from pathlib import PurePosixPath

from pydantic import Field, ValidationError, field_validator

from benchmark.errors import WeightsError, near_matches
from benchmark.resources import CONF
from benchmark.settings import Settings

FOLDER = CONF / "weights"


class WeightsFile(Settings):
    """One file of a set of weights."""

    file: str
    """Path below the weights folder, with forward slashes."""
    urls: tuple[str, ...]
    """Where it comes from: the official address first, then mirrors."""
    size: int | None = Field(gt=0)
    """Bytes; None where no source says."""
    sha256: str | None = Field(pattern=r"^[0-9a-f]{8,64}$")
    """Hex digest, or its first digits where only those are published; None where no source says."""
    md5: str | None = Field(pattern=r"^[0-9a-f]{6,32}$")
    """Hex digest or its first digits."""

    @field_validator("file")
    @classmethod
    def _stays_below_the_folder(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or "\\" in value or not path.name:
            raise ValueError("must be a relative path below the weights folder")
        return value

    def accepts(self, *, sha256: str, md5: str) -> bool:
        """Whether the digests of a file (hex, whole) are those of this entry."""
        return sha256.startswith(self.sha256 or "") and md5.startswith(self.md5 or "")


class Weights(Settings):
    """A set of weights: its files, its licence, and what it was trained on."""

    name: str
    """The name of its YAML file."""
    title: str
    source: str
    """owner/repo or page of the authors."""
    licence: str | None
    """Licence as its owners state it; None where they state none."""
    trained_on: tuple[str, ...] | None
    """Training data sets by name; None where they are not public."""
    target_data: tuple[str, ...] | None
    """Data sets of this benchmark whose images were in the training; empty: none; None: not known."""
    files: tuple[WeightsFile, ...] = Field(min_length=1)


@functools.cache
def names() -> tuple[str, ...]:
    """Names of all registered weights, sorted."""
    return tuple(sorted(p.stem for p in FOLDER.glob("*.yaml")))


@functools.cache
def find(name: str) -> Weights:
    """Return the registry entry ``name``.

    Raises:
        WeightsError: no such entry (with near names), or its YAML is not valid.
    """
    if name not in names():
        raise WeightsError(f"no weights named {name!r} in conf/weights; {near_matches(name, names())}")
    import yaml

    read = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    values = {key: value for key, value in read.items() if key != "_target_"}
    try:
        entry = Weights.model_validate(values)
    except ValidationError as error:
        raise WeightsError(f"conf/weights/{name}.yaml is not valid: {error}") from None
    if entry.name != name:
        raise WeightsError(f"conf/weights/{name}.yaml says name: {entry.name}; it must be {name}")
    return entry

"""The registry of weights: one YAML per set of weights in ``benchmark/weights/cards``."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path, PurePosixPath

from pydantic import Field, ValidationError, field_validator, model_validator

from benchmark.core.errors import WeightsError, near_matches
from benchmark.core.resources import PACKAGE
from benchmark.core.settings import Settings
from benchmark.core.yaml_files import read_yaml

FOLDER = PACKAGE / "weights" / "cards"


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
    package: str | None = None
    """Module of an installed package that carries the file; ``file`` is then its path inside, and ``urls`` is empty."""

    @field_validator("file")
    @classmethod
    def _stays_below_the_folder(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or "\\" in value or not path.name:
            raise ValueError("must be a relative path below the weights folder")
        return value

    @model_validator(mode="after")
    def _comes_from_one_place(self) -> WeightsFile:
        if (self.package is None) == (not self.urls):
            raise ValueError("give urls, or the package that carries the file")
        return self

    def place(self, root: Path) -> Path:
        """Return where the file is to be: below the weights folder, or in the package that carries it."""
        spec = importlib.util.find_spec(self.package) if self.package else None
        inside = spec.submodule_search_locations if spec else None
        return Path(inside[0]) / self.file if inside else root / self.file

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
        raise WeightsError(f"no weights named {name!r} in the weights registry; {near_matches(name, names())}")
    try:
        entry = Weights.model_validate(read_yaml(FOLDER / f"{name}.yaml"))
    except ValidationError as error:
        raise WeightsError(f"benchmark/weights/cards/{name}.yaml is not valid: {error}") from None
    if entry.name != name:
        raise WeightsError(f"benchmark/weights/cards/{name}.yaml says name: {entry.name}; it must be {name}")
    return entry


@functools.cache
def published(sha256: str) -> bool:
    """Whether a digest (64 hex digits) is that of a registered file, published in full."""
    return any(file.sha256 == sha256 for name in names() for file in find(name).files)

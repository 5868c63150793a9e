"""Weights on this machine: where they lie, which are missing, and that each is the right file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.core.errors import WeightsError, near_matches
from benchmark.core.settings import folder_of
from benchmark.core.text import counted, shown_bytes
from benchmark.weights import shards
from benchmark.weights.digests import file_digests
from benchmark.weights.registry import Weights, WeightsFile, find, names
from benchmark.weights.used import WeightsUsed

_USUAL = ("model.safetensors", shards.INDEX, "pytorch_model.bin")
"""Names of files that say nothing; their folder does."""
DEFAULT_ROOT = Path(".cache") / "weights"


@dataclass(frozen=True, kw_only=True)
class LocalWeights:
    """Verified weights on this machine, with what a result must say about them."""

    name: str
    """Registry name, or the file name of weights that the user gave by path."""
    path: Path
    """The file; for a set of several files, the folder that holds them."""
    files: Mapping[str, Path]
    """File name (without folders) -> its path."""
    sha256: str
    """Hex digest of the file; for several files, the digest over their names and digests in order."""
    licence: str | None
    trained_on: tuple[str, ...] | None
    """Training data by name; None: not known."""
    target_data: tuple[str, ...] | None
    """Data sets of this benchmark that were in the training; None: not known."""

    def used(self) -> WeightsUsed:
        """Return what a result says about these weights, for ``Context.note_weights``."""
        return WeightsUsed(
            name=self.name,
            sha256=self.sha256,
            licence=self.licence,
            trained_on=self.trained_on,
            target_data=self.target_data,
        )


def weights_root(configured: Path | None = None) -> Path:
    """Folder of the weights files: ``configured``, else the variable BENCH_WEIGHTS, else ``.cache/weights``."""
    if configured is not None:
        return configured
    return folder_of("BENCH_WEIGHTS", str(DEFAULT_ROOT))


def resolve(wanted: Sequence[str], *, pipeline: str, root: Path | None = None) -> dict[str, LocalWeights]:
    """Find and verify every set of weights that a pipeline needs, in one go.

    Args:
        wanted: registry names.
        pipeline: option name of the pipeline, for the message of an error.
        root: folder of the weights files; None: see ``weights_root``.

    Returns:
        Registry name -> verified weights.

    Raises:
        WeightsError: a name is unknown; files are missing (all are listed, with the one command
            that gets them); or a file is not the published one.
    """
    folder = weights_root(root)
    entries = [find(name) for name in dict.fromkeys(wanted)]
    missing = {entry.name: [f for f in entry.files if not f.place(folder).is_file()] for entry in entries}
    files = [file for absent in missing.values() for file in absent]
    if files:
        lines = "\n".join(f"  {file.place(folder)}  ({readable_size(file.size)})" for file in files)
        raise WeightsError(
            f"pipeline {pipeline} needs "
            f"{counted(len(files), 'weights file that is', 'weights files that are')} not there:\n{lines}\n"
            f"get them with: {command_for([name for name, absent in missing.items() if absent])}"
            "  (the folder is set by BENCH_WEIGHTS or run.weights_root)"
        )
    return {entry.name: _verified(entry, folder=folder) for entry in entries}


def custom(file: Path) -> LocalWeights:
    """Wrap a weights file, or the index of several, that the user gave by its path; nothing is known of its training.

    Raises:
        WeightsError: there is no such file.
    """
    if not file.is_file():
        near = f"; {near_matches(file.name, names())}" if file.name == str(file) and not file.suffix else ""
        raise WeightsError(f"no weights file at {file}; give an existing file or a name of the weights registry{near}")
    return LocalWeights(
        name=f"{file.parent.name}/{file.name}" if file.name in _USUAL else file.name,
        path=file,
        files={part.name: part for part in shards.files_of(file)},
        sha256=shards.digest(file),
        licence=None,
        trained_on=None,
        target_data=None,
    )


def check_file(entry: WeightsFile, path: Path) -> str:
    """Check a file's size and digests against its entry; return its SHA-256 (64 hex digits).

    Raises:
        WeightsError: it is not the published file; the message says in what it differs.
    """
    size = path.stat().st_size
    if entry.size is not None and size != entry.size:
        raise WeightsError(f"{path} has {size} bytes, the published file has {entry.size}: damaged or another file")
    sha256, md5 = file_digests(path)
    if not entry.accepts(sha256=sha256, md5=md5):
        published = f"sha256 {entry.sha256}…" if entry.sha256 else f"md5 {entry.md5}…"
        raise WeightsError(f"{path} has sha256 {sha256}, the published file has {published}: damaged or another file")
    return sha256


def command_for(missing: Sequence[str]) -> str:
    """Return the command that gets these weights, and no others."""
    if all(name in names() and all(file.package for file in find(name).files) for name in missing):
        return "rm -rf .venv && make setup"
    return f'make weights PIPELINE="{" ".join(missing)}"' if len(missing) > 1 else f"make weights PIPELINE={missing[0]}"


def readable_size(size: int | None) -> str:
    """Write a number of bytes for people: ``"694.0 MB"``, or ``"size not published"``."""
    return "size not published" if size is None else shown_bytes(size)


def _verified(entry: Weights, *, folder: Path) -> LocalWeights:
    paths = {Path(file.file).name: file.place(folder) for file in entry.files}
    digests: list[tuple[str, str]] = []
    for file in entry.files:
        try:
            digests.append((Path(file.file).name, check_file(file, file.place(folder))))
        except WeightsError as error:
            fix = f"get it anew with: {command_for([entry.name])}"
            raise WeightsError(f"{entry.name}: {error}; {fix}") from None
    single = len(digests) == 1
    return LocalWeights(
        name=entry.name,
        path=entry.files[0].place(folder) if single else entry.files[0].place(folder).parent,
        files=paths,
        sha256=digests[0][1] if single else hashlib.sha256(repr(digests).encode()).hexdigest(),
        licence=entry.licence,
        trained_on=entry.trained_on,
        target_data=entry.target_data,
    )

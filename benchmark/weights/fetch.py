"""Getting the weights files that pipelines need.

A word names an option of the group ``pipeline``, a registry name, or ``hub:OWNER/NAME``. A mirror is a folder on
a server that holds the files under the same names; it is asked before the official address.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.core.errors import WeightsError
from benchmark.core.secrets import redact
from benchmark.fetching.download import Remote, download
from benchmark.fetching.download_progress import shown
from benchmark.weights.local import check_file, readable_size
from benchmark.weights.registry import Weights, WeightsFile


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for."""

    names: tuple[str, ...]
    """Options of the group ``pipeline``, registry names, or names of the hub."""
    overrides: tuple[str, ...]
    """Words for the config, ``key=value``."""
    mirror: str | None
    dry_run: bool
    offline: bool


def fetch(wanted: Sequence[Weights], root: Path, request: Request) -> None:
    """Download and verify every file that is not there, or say what would be done.

    Raises:
        DownloadError: no address gives a file.
        WeightsError: a file is not the published one; it is kept aside and never used.
    """
    for entry in wanted:
        _print_facts(entry)
        for file in entry.files:
            target = file.place(root)
            if request.dry_run:
                _print_plan(file, target, mirror=request.mirror)
                continue
            if file.package is not None:
                if not target.is_file():
                    raise WeightsError(f"{file.file} is carried by a package, {file.package}; run: make setup")
                check_file(file, target)
                print(f"  {target}: embedded, verified by {_check_of(file)}")
                continue
            there = target.is_file()
            with shown(f"Downloading {file.file}") as on_progress:
                download(_remote(file, mirror=request.mirror), target, offline=request.offline, on_progress=on_progress)
            _verify(file, target)
            print(f"  {target}: {'already there' if there else 'downloaded'}, verified by {_check_of(file)}")


def _verify(file: WeightsFile, target: Path) -> None:
    try:
        check_file(file, target)
    except WeightsError as error:
        kept = target.replace(target.with_name(f"{target.name}.rejected"))
        raise WeightsError(f"{error}; not used, kept as {kept.name}; run again, or give another mirror") from None


def _remote(file: WeightsFile, *, mirror: str | None) -> Remote:
    """Return the addresses in order; digests that are known only in part are left to ``check_file``."""
    return Remote(
        urls=_urls(file, mirror=mirror),
        size=file.size,
        sha256=file.sha256 if file.sha256 and len(file.sha256) == 64 else None,
        md5=file.md5 if file.md5 and len(file.md5) == 32 else None,
    )


def _urls(file: WeightsFile, *, mirror: str | None) -> tuple[str, ...]:
    return (*((f"{mirror.rstrip('/')}/{file.file}",) if mirror else ()), *file.urls)


def _check_of(file: WeightsFile) -> str:
    """Say in words what tells the right file from a wrong one."""
    if file.sha256:
        return "sha256" if len(file.sha256) == 64 else f"the first {len(file.sha256)} digits of its sha256"
    return "its size only, no checksum is published"


def _print_facts(entry: Weights) -> None:
    print(f"{entry.title} ({entry.source})")
    print(f"  licence: {entry.licence or 'not stated by its owners'}")
    print(f"  trained on: {'not published' if entry.trained_on is None else ', '.join(entry.trained_on)}")
    if entry.target_data is None:
        print("  whether data of this benchmark were in the training is not known")
    elif entry.target_data:
        print(f"  data of this benchmark in the training: {', '.join(entry.target_data)}")


def _print_plan(file: WeightsFile, target: Path, *, mirror: str | None) -> None:
    state = "missing" if not target.is_file() else "embedded" if file.package else "there"
    print(f"  {target} ({state}; {readable_size(file.size)}; checked by {_check_of(file)})")
    for url in _urls(file, mirror=mirror):
        print(f"    {redact(url)}")

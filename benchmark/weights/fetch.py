"""Getting the weights files that pipelines need.

A mirror is a folder on a server that holds the files under the same names; it is asked before the official address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.compose import compose
from benchmark.config import option_settings, options
from benchmark.download import Remote, download
from benchmark.download_progress import shown
from benchmark.errors import WeightsError
from benchmark.weights.local import check_file, readable_size
from benchmark.weights.registry import Weights, WeightsFile, find


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for."""

    names: tuple[str, ...]
    """Options of the group ``pipeline``, or registry names."""
    overrides: tuple[str, ...]
    """Words for the config, ``key=value``."""
    mirror: str | None
    dry_run: bool
    offline: bool


def needed_by(request: Request) -> tuple[list[Weights], Path]:
    """Return the sets of weights that are asked for, and the folder of the weights files.

    Raises:
        ConfigError: an override does not fit the config.
        WeightsError: a pipeline asks for weights that are not registered.
    """
    root = Path(_compose(request.overrides, pipeline=None)["run"]["weights_root"]).expanduser()
    needed = [name for asked in request.names for name in weights_of(asked, request.overrides)]
    return [find(name) for name in dict.fromkeys(needed)], root


def weights_of(name: str, overrides: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the registry names that a pipeline option needs with these overrides; for a registry name, that name."""
    if name not in options("pipeline"):
        return (name,)
    pipeline = option_settings("pipeline", _compose(overrides, pipeline=name)["pipeline"])
    needed: Callable[[], tuple[str, ...]] | None = getattr(pipeline, "needed_weights", None)
    return needed() if needed else ()


def fetch(wanted: Sequence[Weights], root: Path, request: Request) -> int:
    """Download and verify every file that is not there, or say what would be done.

    Raises:
        DownloadError: no address gives a file.
        WeightsError: a file is not the published one; it is kept aside and never used.
    """
    if not wanted:
        print(f"{', '.join(request.names)}: no weights files are needed with these settings")
    for entry in wanted:
        _print_facts(entry)
        for file in entry.files:
            target = root / file.file
            if request.dry_run:
                _print_plan(file, target, mirror=request.mirror)
                continue
            there = target.is_file()
            with shown(f"Downloading {file.file}") as on_progress:
                download(_remote(file, mirror=request.mirror), target, offline=request.offline, on_progress=on_progress)
            _verify(file, target)
            print(f"  {target}: {'already there' if there else 'downloaded'}, verified by {_check_of(file)}")
    return 0


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
    state = "there" if target.is_file() else "missing"
    print(f"  {target} ({state}; {readable_size(file.size)}; checked by {_check_of(file)})")
    for url in _urls(file, mirror=mirror):
        print(f"    {url}")


def _compose(overrides: Sequence[str], *, pipeline: str | None) -> dict[str, Any]:
    """Compose the config; without a pipeline, only the words for ``run`` are looked at."""
    if pipeline is None:
        return compose([word for word in overrides if word.startswith("run.")])[0]
    return compose([f"pipeline={pipeline}", *overrides])[0]

"""``make doctor``: the machine, the versions, the data and weights that are here, and what could be run now."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core import provenance
from benchmark.core.errors import BenchmarkError, ConfigError
from benchmark.core.resources import CHECKOUT
from benchmark.core.secrets import redact
from benchmark.core.text import counted, shown_bytes

if TYPE_CHECKING:
    from benchmark.report.papers.availability import Missing

KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_APPLICATION_CREDENTIALS", "OPENAI_API_KEY")
"""Variables that hold credentials; only whether they are set is told."""
Cells = tuple[str, ...]


def machine() -> Iterator[Cells]:
    """Yield (what, value, remark) of the machine and the environment."""
    commit, dirty = provenance.git_state()
    yield "Python", sys.version.split()[0], "" if sys.version_info >= (3, 11) else "3.11 or newer is needed"
    facts = provenance.hardware()
    yield (
        "processor",
        str(facts.get("cpu")),
        f"{facts.get('cores')} cores, {shown_bytes(int(facts.get('memory_mb') or 0) * 2**20)} memory",
    )
    yield from _accelerators()
    remark = "with uncommitted changes" if dirty else "" if CHECKOUT else "installed from a wheel"
    yield "checkout", (commit or "none")[:12], remark
    for name in KEYS:
        if os.environ.get(name):
            yield name, "set", ""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    yield "Chromium", chromium or "none", "" if chromium else "the report's browser tests are skipped"


DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""Where Linux shows that there is a driver of an accelerator: NVIDIA's, that of WSL, AMD's."""


def _accelerators() -> Iterator[Cells]:
    """Ask torch, but not where there is no driver: its import takes as long as all other lines together."""
    if sys.platform == "linux" and not any(Path(driver).exists() for driver in DRIVERS):
        yield "GPU", "none", "no driver of an accelerator; everything runs on the processor"
        return
    import torch

    if torch.cuda.is_available():
        for at in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(at)
            yield f"GPU {at}", about.name, f"{shown_bytes(about.total_memory)}, CUDA {torch.version.cuda}"
    else:
        yield "GPU", "none", f"torch {torch.__version__} finds no CUDA device; everything runs on the processor"


def packages(lock: Path | None) -> Iterator[Cells]:
    """Yield (package, installed, remark) of the packages that can change a number, against the lock if there is one."""
    locked = locked_versions(lock) if lock else {}
    for name in provenance.PACKAGES:
        wanted = locked.get(name.lower().replace("_", "-"))
        try:
            have = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield name, "not installed", f"make setup installs {wanted}" if wanted else "optional"
            continue
        same = wanted is None or have.split("+")[0] == wanted
        yield name, have, "" if same else f"the lock has {wanted}: rm -rf .venv && make setup"


def locked_versions(lock: Path) -> dict[str, str]:
    """Return package -> version that a requirements file pins for this Python; empty where there is no file."""
    from packaging.requirements import Requirement

    if not lock.is_file():
        return {}
    found = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if "==" not in line or line.startswith(("#", " ", "-")):
            continue
        pin = Requirement(line.rstrip("\\ "))
        if pin.marker is None or pin.marker.evaluate():
            found[pin.name.lower().replace("_", "-")] = next(iter(pin.specifier)).version
    return found


def places(run: Any) -> Iterator[Cells]:
    """Yield (place, folder or address, free space or whether it answers) of what a run uses."""
    names = ["data_root", "results_root", "results_copy", "cache_root", "weights_root"]
    if isinstance(run.cache_root, str):
        names.append("cache_local")
    for name in names:
        folder = getattr(run, name)
        if isinstance(folder, str):
            yield name, redact(folder), _answering(folder)
        if not isinstance(folder, Path):
            continue
        there = next(p for p in (folder.resolve(), *folder.resolve().parents) if p.exists())
        writable = "" if os.access(there, os.W_OK) else ", not writable"
        yield name, str(folder), f"{shown_bytes(shutil.disk_usage(there).free)} free{writable}"


def _answering(address: str) -> str:
    """Say whether an address can be used from here."""
    from benchmark.fetching.remote import Remote

    try:
        Remote(address)
    except BenchmarkError as error:
        return str(error)
    return "answers"


def datasets(data_root: Path, *, deep: bool) -> Iterator[Cells]:
    """Yield (dataset, state, command) of every dataset that has a card.

    Args:
        data_root: folder that holds the datasets.
        deep: decode every image and mask, in place of comparing names and counts alone.
    """
    from benchmark.config.compose import compose_each
    from benchmark.config.schema import option_settings
    from benchmark.data.card import card_names, load_card
    from benchmark.report.papers.availability import holds_data

    here = [name for name in card_names() if holds_data(data_root / name)]
    composed = dict(zip(here, compose_each("dataset", [[f"dataset={name}"] for name in here]), strict=True))
    for name in card_names():
        try:
            card = load_card(name)
        except BenchmarkError as error:
            yield name, str(error).splitlines()[0], ""
            continue
        if card.source.kind == "generated":
            yield name, "generated on first use", ""
            continue
        if name not in composed:
            yield name, "not here", f"make data DATASET={name}"
            continue
        try:
            option = composed[name]
            if isinstance(option, ConfigError):
                raise option
            settings: Any = option_settings("dataset", option[0]["dataset"])
            state = _checked(settings, card, data_root) if deep else _counted(settings, card, data_root)
        except BenchmarkError as error:
            state = str(error).splitlines()[0]
        yield name, state, "" if state.startswith(("complete", "verified")) else f"make data DATASET={name} ARGS=verify"


def _counted(settings: Any, card: Any, data_root: Path) -> str:
    scan = settings.scan(settings.locate(data_root))
    differences = settings.differences(card, scan.records)
    if scan.problems:
        return f"{counted(len(scan.problems), 'problem')}: {scan.problems[0]}"
    if differences:
        return (
            f"partial: {counted(len(scan.records), 'image')}, "
            f"{counted(len(differences), 'count differs', 'counts differ')} from the card"
        )
    return f"complete: {counted(len(scan.records), 'image')}, counts as the card says"


def _checked(settings: Any, card: Any, data_root: Path) -> str:
    from benchmark.data.verify import verify

    found = verify(settings, card, data_root)
    if found.ok:
        return (
            f"verified: {counted(found.n_images, 'image')} and {counted(found.n_masks, 'mask')} decode, "
            f"counts as the card says"
        )
    wrong = sum(bool(row.remark) for row in found.rows)
    return (
        f"partial: {counted(found.n_images, 'image')}, "
        f"{counted(wrong, 'count differs', 'counts differ')} from the card, {counted(len(found.problems), 'problem')}"
    )


def weights(root: Path, *, deep: bool) -> Iterator[Cells]:
    """Yield (weights, state, size) of every registered set, and of the models in the hub's cache.

    Args:
        root: folder of the registered sets.
        deep: checksums that are not remembered are computed.
    """
    from benchmark.core.errors import WeightsError
    from benchmark.weights import find, hub, names
    from benchmark.weights.local import check_file, readable_size

    for name in names():
        entry = find(name)
        absent = [f.file for f in entry.files if not f.place(root).is_file()]
        size = sum(f.size or 0 for f in entry.files)
        told = readable_size(size or None)
        if absent:
            yield name, "not here", told
            continue
        try:
            if deep:
                for file in entry.files:
                    check_file(file, file.place(root))
            wrong = [f.file for f in entry.files if f.size and f.place(root).stat().st_size != f.size]
            here = "embedded" if all(f.package for f in entry.files) else "here"
            state = f"wrong size: {wrong[0]}" if wrong else "verified" if deep else f"{here}, size as published"
        except WeightsError as error:
            state = str(error).splitlines()[0]
        yield name, state, told
    for name, size in hub.cached():
        state = "in the hub's cache" if hub.is_here(name) else "in the hub's cache, without its weights"
        yield name, state, readable_size(size)


def tables(extra: Sequence[str]) -> Iterator[Cells]:
    """Yield (paper, table, cells that could be run now, what is missing) of every table of a paper."""
    from collections import Counter

    from benchmark.report.papers.availability import obstacles
    from benchmark.report.papers.paper import cells, load_paper, paper_names

    places, every = [], []
    for name in paper_names():
        paper = load_paper(name)
        for number, table in paper.tables.items():
            own = [cell for cell in cells(paper, table) if not cell.row.parts]
            places += [(name, number)] * len(own)
            every += own
    found: dict[tuple[str, str], list[Missing | None]] = {}
    for place, missing in zip(places, obstacles(every, extra=extra), strict=True):
        found.setdefault(place, []).append(missing)
    for (name, number), each in found.items():
        lacking = Counter(part for one in each if one is not None for part in one.phrase.split("; "))
        reasons = ", ".join(f"{phrase} ({n})" for phrase, n in lacking.most_common(4))
        yield name, number, f"{sum(one is None for one in each)} of {len(each)}", reasons

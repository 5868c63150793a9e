"""Getting and checking a dataset.

What has a stable address is downloaded, checked and unpacked; for the rest the exact steps are printed. In both cases
the licence comes first, and what lies in the folder afterwards is checked against the dataset's card.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from benchmark.core.addresses import cache_folder
from benchmark.core.errors import ConfigError, DataError
from benchmark.core.settings import Settings
from benchmark.core.table import Grid, show
from benchmark.core.text import counted
from benchmark.data.card import Archive, Card, find_card
from benchmark.data.contact_sheet import contact_sheet
from benchmark.data.dataset import Dataset
from benchmark.data.records import has_data
from benchmark.data.verify import Verification, verify
from benchmark.fetching.archives import unpack
from benchmark.fetching.download import Remote, download
from benchmark.fetching.download_progress import shown

_ARCHIVES = ".archives"
_SHOWN_PROBLEMS = 40


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for."""

    dataset: str
    """Option of the group ``dataset``."""
    settings: Settings
    """Of that option."""
    data_root: Path
    verify: bool
    """Check what is there."""
    dry_run: bool
    """Say what would be downloaded."""
    offline: bool


def run(request: Request) -> int:
    """Get or check one dataset; 0 when it is whole."""
    settings = request.settings
    name = getattr(settings, "name", request.dataset)
    card = find_card(name)
    if card is None:
        return _check_own(settings, request)
    _print_licence(card)
    if not isinstance(settings, Dataset):
        _print_steps(card)
        return 0
    if request.dry_run:
        return _print_plan(card, request.data_root / name)
    if request.verify:
        return _report(verify(settings, card, request.data_root), title=card.title)
    if not _is_whole(settings, card, request.data_root):
        if card.source.kind == "manual":
            _print_steps(card)
            print(f"\nThen check it with: make data DATASET={request.dataset} ARGS=verify\n")
            if not (request.data_root / name).is_dir() or not has_data(request.data_root / name):
                return 1
        else:
            _download(card, request.data_root / name, offline=request.offline)
    return _report(verify(settings, card, request.data_root), title=card.title)


def _check_own(settings: Settings, request: Request) -> int:
    """Check data of the user's own, which has no card, and draw its images with their masks."""
    if not isinstance(settings, Dataset) or not request.verify:
        raise ConfigError(
            f"dataset {request.dataset} is your own data, nothing is fetched for it; check it with: "
            f'make data DATASET={request.dataset} ARGS="verify dataset.path=FOLDER"'
        )
    found = verify(settings, None, request.data_root)
    status = _report(found, title=f"dataset {settings.name}", right="nothing is wrong")
    place = cache_folder() / "verify" / f"{found.root.name}.png"
    try:
        print(f"images{' with their masks' if found.n_masks else ''}: {contact_sheet(found, place)}")
    except OSError as error:
        print(f"no picture of them: {place} cannot be written ({error.strerror}); set BENCH_CACHE=<a folder>")
    return status


def _is_whole(settings: Dataset, card: Card, data_root: Path) -> bool:
    """Whether the names in the folder already give the card's counts."""
    try:
        scan = settings.scan(settings.locate(data_root))
    except DataError:
        return False
    if settings.labels_from_masks:
        return len(scan.records) >= (card.images or 1)
    whole = settings.model_copy(update={"categories": None})
    return bool(scan.records) and not scan.problems and not whole.differences(card, scan.records)


def _download(card: Card, root: Path, *, offline: bool) -> None:
    for archive in card.source.archives:
        kept = root / _ARCHIVES / archive.file
        done = kept.with_name(f"{archive.file}.entries.json")
        if done.is_file() and all((root / entry).exists() for entry in json.loads(done.read_text(encoding="utf-8"))):
            continue
        with shown(f"Downloading {archive.file}") as on_progress:
            download(_remote(archive), kept, offline=offline, on_progress=on_progress)
        if archive.sha256 is None and archive.md5 is None:
            print(f"{archive.file}: no checksum is known for it, so only its content can be checked")
        with shown(f"Unpacking {archive.file}") as on_progress:
            entries = unpack(kept, root, on_progress=on_progress)
        done.write_text(json.dumps(entries), encoding="utf-8")
        print(f"{kept}: unpacked and not needed any more; remove it to save {kept.stat().st_size / 1e9:.2f} GB")


def _remote(archive: Archive) -> Remote:
    return Remote(urls=(archive.url, *archive.mirrors), size=archive.size, sha256=archive.sha256, md5=archive.md5)


def _print_licence(card: Card) -> None:
    licence = card.licence
    print(f"{card.title}: {card.summary}")
    print(f"Licence: {licence.name}{f' ({licence.url})' if licence.url else ''}")
    print(f"  commercial use: {licence.commercial}, redistribution: {licence.redistribution}")
    if licence.note:
        print(f"  {licence.note}")
    print(f"Please cite: {card.citation.strip()}\n")


def _print_steps(card: Card) -> None:
    for number, step in enumerate(card.source.steps, start=1):
        print(f"{number}. {step}")


def _print_plan(card: Card, root: Path) -> int:
    if card.source.kind != "download":
        _print_steps(card)
        return 0
    for archive in card.source.archives:
        size = f"{archive.size / 1e6:.1f} MB" if archive.size else "size not known"
        check = "sha256" if archive.sha256 else "md5" if archive.md5 else "no checksum known"
        print(f"{archive.url}\n  {size}, {check} -> {root / _ARCHIVES / archive.file}, unpacked to {root}")
    return 0


def _report(found: Verification, *, title: str, right: str = "all as the card says") -> int:
    """Print the table of counts, and everything that is wrong; 0 when nothing is."""
    rows = [
        (r.category, r.split, r.label, "?" if r.expected is None else str(r.expected), str(r.found), r.remark)
        for r in found.rows
    ]
    columns = ("category", "split", "label", "expected", "found", "remark")
    kept = [
        i for i, name in enumerate(columns) if name != "expected" or any(r.expected is not None for r in found.rows)
    ]
    wrong = [i for i, row in enumerate(found.rows) if row.remark]
    more = len(found.problems) - _SHOWN_PROBLEMS
    notes = [f"note: {note}" for note in found.notes]
    notes += [f"problem: {problem}" for problem in found.problems[:_SHOWN_PROBLEMS]]
    notes += [f"and {counted(more, 'more problem')}"] if more > 0 else []
    notes.append(
        f"{counted(found.n_images, 'image')} and {counted(found.n_masks, 'mask')} decoded: "
        + (
            right
            if found.ok
            else f"{counted(len(found.problems), 'problem')}, {counted(len(wrong), 'count differs', 'counts differ')}"
        )
    )
    show(
        Grid(
            title=f"{title} in {found.root}",
            columns=tuple(columns[i] for i in kept),
            rows=tuple(tuple(row[i] for i in kept) for row in rows),
            notes=tuple(notes),
            left=frozenset({0, 1, 2, len(kept) - 1}),
            marked=frozenset(wrong),
        )
    )
    return 0 if found.ok else 1

"""What the stage store holds, and how to make it smaller."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence

from benchmark.core.errors import ConfigError, near_matches
from benchmark.core.table import Grid, show
from benchmark.core.text import counted, shown_bytes
from benchmark.stages.codec import CorruptEntryError, unpack
from benchmark.stages.explain import nearest
from benchmark.stages.store import Store
from benchmark.stages.store_files import Entry

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def size(text: str) -> int:
    """Read a size such as ``10G``, ``500M`` or ``1234`` into bytes (decimal units); raises ConfigError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", text.strip().lower())
    if match is None:
        raise ConfigError(f"{text!r} is not a size; write 500M or 10G")
    return int(float(match[1]) * UNITS[match[2]])


def age(text: str) -> float:
    """Read an age such as ``30d``, ``12h`` or ``90m`` into seconds; raises ConfigError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip().lower())
    if match is None:
        raise ConfigError(f"{text!r} is not an age; write 30d, 12h or 90m")
    return float(match[1]) * SECONDS[match[2]]


def chosen(store: Store, stages: Sequence[str]) -> list[Entry]:
    """Return the entries of these stages, or of all where none is named, those unused longest first.

    Raises:
        ConfigError: no such stage in the store.
    """
    known = store.stages()
    for name in stages:
        if name not in known:
            raise ConfigError(f"no stage {name!r} in {store.place}; {near_matches(name, known)}")
    return sorted((e for name in stages or known for e in store.entries(name)), key=lambda entry: entry.used)


def show_sizes(store: Store, stages: Sequence[str]) -> None:
    """Print entries, bytes and last use by stage."""
    by_stage: dict[str, list[Entry]] = {}
    for entry in chosen(store, stages):
        by_stage.setdefault(entry.stage, []).append(entry)
    if not by_stage:
        print(f"nothing is stored in {store.place}")
        return
    rows = []
    for name, entries in sorted(by_stage.items(), key=lambda item: -sum(e.size for e in item[1])):
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(max(e.used for e in entries)))
        variants = str(len(store.notes(name)) or "–")
        rows.append((name, variants, f"{len(entries):,}", shown_bytes(sum(e.size for e in entries)), used))
    total = [entry for entries in by_stage.values() for entry in entries]
    rows.append(("all", "", f"{len(total):,}", shown_bytes(sum(e.size for e in total)), ""))
    far = store.here is not store
    columns = ("stage", "settings", "entries", "size", "last written" if far else "last used")
    title, last = f"stage store {store.place}", frozenset({len(rows) - 1})
    show(Grid(title=title, columns=columns, rows=tuple(rows), left=frozenset({0, 4}), marked=last))
    if far:
        print(f"on this machine: {shown_bytes(sum(e.size for e in store.here.entries()))} in {store.here.place}")


def prune(
    store: Store, *, stages: Sequence[str], older: float | None, max_size: int | None, dry_run: bool
) -> tuple[int, int]:
    """Remove entries; return how many and their bytes.

    Args:
        store: the store.
        stages: only entries of these stages; empty: of all.
        older: only entries unused for this many seconds.
        max_size: only so many, those unused longest first, that the chosen stages hold at most this many bytes.
        dry_run: count, remove nothing.

    Without ``older`` and ``max_size``, all entries of the named stages go; without any condition, none.
    In every case temporary files that a killed writer left behind are swept.
    """
    entries = chosen(store, stages)
    if older is not None:
        doomed = [entry for entry in entries if time.time() - entry.used >= older]
    elif max_size is None:
        doomed = entries if stages else []
    else:
        doomed = []
    if max_size is not None:
        gone = {entry.path for entry in doomed}
        held = sum(entry.size for entry in entries if entry.path not in gone)
        for entry in entries:
            if held <= max_size:
                break
            if entry.path not in gone:
                doomed.append(entry)
                held -= entry.size
    doomed += [entry for name in stages or store.stages() for entry in store.leftovers(name)]
    if not dry_run:
        store.remove(doomed)
        for name in stages or store.stages():
            store.tidy(name)
    return len(doomed), sum(entry.size for entry in doomed)


def verify(store: Store, *, stages: Sequence[str], dry_run: bool) -> tuple[int, list[Entry]]:
    """Read every entry; remove the damaged ones unless ``dry_run``; return how many were read and the damaged ones."""
    from benchmark.core.progress import track

    damaged: list[Entry] = []
    entries = chosen(store, stages)
    for entry, data in track(store.contents(entries), "verify", total=len(entries)):
        try:
            unpack(data, stage=entry.stage, key=entry.key)
        except CorruptEntryError:
            damaged.append(entry)
    if not dry_run:
        store.remove(damaged)
    return len(entries), damaged


def show_settings(store: Store, stages: Sequence[str]) -> None:
    """Print the stored fingerprints of stages, newest first: what each changed against the nearest older one."""
    chosen(store, stages)
    for name in stages or store.stages():
        notes = store.notes(name)
        print(f"{name}: {counted(len(notes), 'fingerprint')}" if notes else f"{name}: no settings")
        for i, note in enumerate(notes):
            found = nearest(note, notes[i + 1 :], {}, store)
            facts = {part: note.get(part) for part in ("version", "settings", "weights") if note.get(part)}
            told = json.dumps(facts, ensure_ascii=False) if found is None else "; ".join(found[1])
            print(f"  {str(note.get('fingerprint'))[:12]}  {told}")

"""Why a stage is computed again: what differs from the nearest stage that the store knows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from benchmark.stages.stage import Stage
from benchmark.stages.store import Store

Facts = Mapping[str, Any]
WIDTH = 80
"""Longest value shown, in characters."""
_ABSENT = object()


def explain(stage: Stage, store: Store) -> str:
    """Say whether results of this stage are stored, and if not, which change set it apart from those that are.

    Names the setting, weights file, version or upstream stage that differs from the nearest stored
    fingerprint of the same stage name, upstream stages followed down to what changed there.
    """
    head = f"stage {stage.name!r} (fingerprint {stage.fingerprint[:12]})"
    notes = store.notes(stage.name)
    if not notes:
        return f"{head}: nothing is stored under this name yet"
    if any(note.get("fingerprint") == stage.fingerprint for note in notes):
        return f"{head}: stored with exactly these settings; only images that the store lacks are computed"
    found = nearest(stage.facts, notes, {up.name: up.facts for up in _ancestors(stage)}, store)
    assert found is not None
    other, changes = found
    lines = "".join(f"\n  {change}" for change in changes)
    return f"{head}: computed anew; against the nearest stored fingerprint {str(other.get('fingerprint'))[:12]}:{lines}"


def nearest(
    facts: Facts, notes: list[dict[str, Any]], upstream: Mapping[str, Facts], store: Store
) -> tuple[Facts, list[str]] | None:
    """Return the note with the fewest differences (the newest of several) and these differences; None without notes."""
    best: tuple[Facts, list[str]] | None = None
    for note in notes:
        changes = list(differences(note, facts, upstream, store))
        if best is None or len(changes) < len(best[1]):
            best = note, changes
    return best


def differences(old: Facts, new: Facts, upstream: Mapping[str, Facts], store: Store) -> Iterator[str]:
    """Yield one line for each difference between two stage descriptions.

    Args:
        old: a stored description.
        new: the description at hand.
        upstream: descriptions of the stages below ``new`` by name; those not given are looked up in the store.
        store: where upstream descriptions lie.
    """
    if old.get("version") != new.get("version"):
        yield f"version: {old.get('version')} -> {new.get('version')}"
    for part, word in (("settings", "setting"), ("weights", "weights")):
        before, after = _flat(old.get(part)), _flat(new.get(part))
        for name in [*after, *(name for name in before if name not in after)]:
            a, b = before.get(name, _ABSENT), after.get(name, _ABSENT)
            if a is _ABSENT or b is _ABSENT or json.dumps(a) != json.dumps(b):
                yield f"{word} {name!r}: {_shown(a)} -> {_shown(b)}"
    before, after = dict(old.get("upstream") or {}), dict(new.get("upstream") or {})
    for name in [*after, *(name for name in before if name not in after)]:
        if name not in before or name not in after:
            yield f"upstream stage {name!r}: {'new' if name in after else 'no longer there'}"
        elif before[name] != after[name]:
            then = _noted(store, name, before[name])
            now = upstream.get(name) or _noted(store, name, after[name])
            if then is None or now is None:
                yield f"upstream stage {name!r}: fingerprint {before[name][:12]} -> {after[name][:12]}"
            else:
                yield from (f"upstream stage {name!r}, {line}" for line in differences(then, now, upstream, store))


def _ancestors(stage: Stage) -> Iterator[Stage]:
    for up in stage.upstream:
        yield up
        yield from _ancestors(up)


def _noted(store: Store, name: str, fingerprint: str) -> Facts | None:
    return next((note for note in store.notes(name) if note.get("fingerprint") == fingerprint), None)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Turn nested mappings into dotted names; lists stay whole."""
    flat: dict[str, Any] = {}
    for name, part in (value or {}).items():
        if isinstance(part, Mapping) and part:
            flat.update(_flat(part, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = part
    return flat


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "(not set)"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}… ({len(text)} characters)"

"""What runs are called where several stand together: the pipeline, and what differs between them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmark.report.seeds import is_seed
from benchmark.results.schema import RunResult, flatten

MOST = 3
"""Settings in a name; more than these are counted."""


def method_key(result: RunResult) -> str:
    """What makes two runs on different data, or of different seeds, the same method."""
    settings = flatten(result.config.get("pipeline") or {})
    return json.dumps(
        [result.choices["pipeline"], {k: v for k, v in settings.items() if not is_seed(k)}], sort_keys=True
    )


def seed_key(result: RunResult) -> str:
    """What makes two runs of one method, on the same data, runs of different seeds."""
    return json.dumps({k: v for k, v in flatten(result.config).items() if is_seed(k)}, sort_keys=True)


def settings_apart(runs: Sequence[RunResult], *, methods: bool = False) -> dict[str, str]:
    """Return run id -> the settings in which it differs from other runs of its pipeline.

    Runs on other data under the same name, as two folders of one's own have it, say the folder's name and the start of
    its fingerprint. The settings of that data are then left to it, so that those of the method stand in the text.

    Args:
        runs: that stand together.
        methods: tell methods apart alone: neither data nor seeds.
    """
    texts = {r.id: _identity(r) for r in runs}
    group = {r.id: r.choices["pipeline"] for r in runs}
    sizes = Counter(group.values())
    told = Counter((group[name], key, value) for name, text in texts.items() for key, value in text.items())
    several_data = not methods and len({r.dataset.fingerprint for r in runs}) > 1
    found = {}
    for name, own in texts.items():
        mine = group[name]
        keys = [k for k in own if k != "data" and told[mine, k, own[k]] < sizes[mine]]
        if methods:
            keys = [k for k in keys if k.startswith(("pipeline.", "file of ")) and not is_seed(k)]
        elif several_data:
            keys = [k for k in keys if not k.startswith("dataset.")]
        words = [f"{k.rpartition('.')[2]} {own[k]}"[:60] for k in (["data", *keys] if several_data else keys)]
        more = [f"and {len(words) - MOST} more"] if len(words) > MOST else []
        found[name] = ", ".join([*words[:MOST], *more])
    return found


def names(runs: Sequence[RunResult]) -> dict[str, str]:
    """Return run id -> a name that no other run on data of one label has.

    It is the pipeline with the settings in which it differs from others of its name; where none differs, or what
    differs is cut, the protocol, the time at which the run started, and at last its id.
    """
    labels: dict[str, list[RunResult]] = {}
    for result in runs:
        labels.setdefault(result.data_label, []).append(result)
    found: dict[str, str] = {}
    for group in labels.values():
        apart = settings_apart(group)
        own = {r.id: " · ".join(filter(None, [r.choices["pipeline"], apart[r.id]])) for r in group}
        several = len({r.protocol.name for r in group}) > 1
        for more in (
            {r.id: r.protocol.name if several else "" for r in group},
            {r.id: r.measured.started[:16].replace("T", " ") for r in group},
            {r.id: r.id[-12:] for r in group},
        ):
            own = _told_apart(own, more)
        found |= own
    return found


def method_names(runs: Sequence[RunResult]) -> dict[str, str]:
    """Return run id -> the pipeline with the settings in which its method differs from others of its name."""
    apart = settings_apart(runs, methods=True)
    texts: dict[str, str] = {}
    for result in runs:
        texts.setdefault(method_key(result), " · ".join(filter(None, [result.choices["pipeline"], apart[result.id]])))
    first = {method_key(r): r.id[-12:] for r in reversed(runs)}
    texts = _told_apart(texts, first)
    return {r.id: texts[method_key(r)] for r in runs}


def data_name(result: RunResult) -> str:
    """Return the name of the user's own folder, if it is one, and the start of the data's fingerprint."""
    folder = Path(str(result.measured.settings.get("dataset.path") or "")).name
    return f"{folder} {result.dataset.fingerprint[:8]}".strip()


def _told_apart(found: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Add to each name that several have what tells them apart."""
    times = Counter(found.values())
    return {name: f"{text} · {more[name]}" if times[text] > 1 and more[name] else text for name, text in found.items()}


def _identity(result: RunResult) -> dict[str, str]:
    config = result.config
    method = {"pipeline": config.get("pipeline", {}), "run": {"seed": config.get("run", {}).get("seed")}}
    given = result.measured.settings
    files = {
        f"file of {key.rpartition('.')[2]}": f"{Path(str(given.get(key) or '')).name} {digest[:8]}".strip()
        for key, digest in config.get("files", {}).items()
    }
    data = {"data": data_name(result), "chosen.dataset": result.choices.get("dataset", "")}
    settings = flatten(method) | files | data | flatten({"dataset": config.get("dataset", {})})
    return {k: v for k, v in settings.items() if not k.endswith("_target_")}

"""What rows of comparisons come to: one line a run, kept as JSON, and the table of many runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = [
    *("torch", "torchvision", "transformers", "timm", "open_clip_torch", "groundingdino-py", "segment-anything"),
    *("numpy", "scipy", "opencv-python", "pillow"),
]
HEAD = "| method | size | seed | images | equal | largest difference of scores | of the map | mask pixels | beside |"
STOPS = "official stops"


def summary(rows: Sequence[dict[str, Any]], **run: Any) -> dict[str, Any]:
    """Return what the rows of one run come to, beside what else is said of the run.

    Equal are rows with no pixel of the map beyond the limit, no mask pixel, no other score, text or number; rows where
    the official code stops, or that differ by intent, are not compared.
    """
    stopped = [row for row in rows if str(row["note"]).startswith(STOPS)]
    differing = [row for row in rows if row not in stopped and _differs(row)]
    intended = [row for row in differing if row["known"]]
    compared = [row for row in rows if row not in stopped and row not in intended]
    worst = {name: max((row[name] for row in compared if name in row), default=None) for name in ("scores", "map")}
    return {
        **run,
        "date": datetime.now(UTC).date().isoformat(),
        "packages": {name: _version(name) for name in PACKAGES},
        "images": len(rows),
        "compared": len(compared),
        "equal": len([row for row in compared if not _differs(row)]),
        **worst,
        "mask": sum(row["mask"] for row in compared if "mask" in row) if any("mask" in row for row in rows) else None,
        "intended": dict(Counter(row["known"] for row in intended)),
        "stopped": len(stopped),
    }


def _differs(row: dict[str, Any]) -> bool:
    return bool(row["note"] or row.get("beyond") or row.get("mask"))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print the rows and what they come to."""
    columns = {"case": 16, "size": 11, "found": 5, "scores": 9, "map": 9, "beyond": 7, "mask": 7, "known": 8, "note": 0}
    heads = {"scores": "scores", "map": "map", "beyond": ">1e-4", "mask": "mask px"}
    print(" | ".join(heads.get(name, name).ljust(width) for name, width in columns.items()))
    for row in rows:
        values = {k: f"{v:.1e}" if isinstance(v, float) else str(v) for k, v in row.items()}
        print(" | ".join(values.get(name, "").ljust(width) for name, width in columns.items()))
    found = summary(rows)
    print(f"{found['equal']} of {found['compared']} equal; largest differences {found['scores']}, map {found['map']}")
    spans = [row["span"] for row in rows if "span" in row]
    if spans:
        print(f"official maps span {min(spans):.1e} to {max(spans):.1e} each")
    print(f"beside: the official code stops on {found['stopped']}; by intent differ {found['intended'] or 'none'}")


def keep(file: Path, line: dict[str, Any]) -> None:
    """Add a run's line to a file of them."""
    with file.open("a", encoding="utf-8") as opened:
        opened.write(json.dumps(line) + "\n")


def table(file: Path) -> str:
    """Return the lines of a file as a table in Markdown, runs of one kind joined, and the versions of the packages."""
    try:
        runs = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise SystemExit(f"{file} is no file that --keep made: {error}") from None
    if not runs:
        raise SystemExit(f"{file} holds no run")
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in runs:
        kinds.setdefault((run["label"], run["size"]), []).append(run)
    lines = [HEAD, "| --- " * HEAD.count(" | ") + "| --- |"]
    lines += [_line(label, size, found) for (label, size), found in kinds.items()]
    packages = sorted({f"{name} {version}" for run in runs for name, version in run["packages"].items()})
    dates = sorted({run["date"] for run in runs})
    return "\n".join([*lines, "", f"Measured {' to '.join(sorted({dates[0], dates[-1]}))} with {', '.join(packages)}."])


def _line(label: str, size: str, runs: Sequence[dict[str, Any]]) -> str:
    intended: Counter[str] = sum((Counter(run["intended"]) for run in runs), Counter())
    stopped = sum(run["stopped"] for run in runs)
    beside = [f"{number} {kind}" for kind, number in intended.items()]
    beside += [f"the official code stops on {stopped}"] if stopped else []
    cells = [
        label,
        size,
        ", ".join(sorted({str(run["seed"]) for run in runs})),
        str(sum(run["images"] for run in runs)),
        f"{sum(run['equal'] for run in runs)} of {sum(run['compared'] for run in runs)}",
        *(_number([run[name] for run in runs]) for name in ("scores", "map")),
        "" if all(run["mask"] is None for run in runs) else str(sum(run["mask"] or 0 for run in runs)),
        "; ".join(beside),
    ]
    return f"| {' | '.join(cells)} |"


def _number(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{max(known):.1e}" if known else ""

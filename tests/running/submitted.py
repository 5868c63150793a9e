"""Submissions for tests: made of reference results, changed by hand, checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmark.core.resources import REFERENCE
from benchmark.results import files
from benchmark.results.schema import RunResult
from benchmark.results.submission import Submission
from benchmark.running.checking import content_checks

GIVEN: dict[str, Any] = {"who": "Ada L.", "licence": "CC-BY-4.0", "method": None, "source": None, "private": False}


def reference(name: str = "sat-patchcore") -> RunResult:
    return files.read_result(REFERENCE / name)


def written(one: Submission, folder: Path) -> Path:
    path = folder / one.place
    files.write_atomically(path, one.model_dump_json(indent=1).encode())
    return path


def refusals(one: Submission, path: Path | None = None) -> list[str]:
    return [f"{check.what}: {check.told}" for check in content_checks(one, path) if check.state == "refused"]


def change(one: Submission, **fields: Any) -> dict[str, Any]:
    """Return a submission as JSON with fields of dotted names set; its digest fits unless it is what is changed."""
    values = json.loads(one.model_dump_json())
    for key, value in fields.items():
        *parents, last = key.split("__")
        place = values
        for name in parents:
            place = place[int(name) if name.isdigit() else name]
        place[int(last) if last.isdigit() else last] = value
    return values


def altered(result: RunResult, **changes: Any) -> RunResult:
    return result.model_copy(update=changes)

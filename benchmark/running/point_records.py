"""What became of a point of a sweep: a file in the sweep's folder, and a line on the screen."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.core.secrets import redact, redact_values

COMMAND = "command.json"
"""File in a sweep's folder: the words that it was started with."""
FOLDER_VARIABLE = "BENCH_SWEEP_FOLDER"
_last_message: str | None = None
"""Of the point before."""


def report_point(record: Mapping[str, Any], value: float) -> None:
    """Write and print what became of a point."""
    _write(record)
    _print(record, value)


def _write(record: Mapping[str, Any]) -> None:
    from benchmark.results.files import write_atomically

    folder = os.environ.get(FOLDER_VARIABLE)
    if folder:
        path = Path(folder) / "points" / f"{record['number']:05d}.json"
        write_atomically(path, json.dumps(redact_values(record), indent=1).encode())


def _print(record: Mapping[str, Any], value: float) -> None:
    global _last_message
    message = record.get("message")
    outcome = message or (f"{value:.4f}" if value == value else record["status"])
    if message and message == _last_message:
        outcome = f"{record['status']} like the point before"
    _last_message = message
    print(redact(f"[{record['number']}] {point_name(record)}: {outcome}"), flush=True)


def point_name(record: Mapping[str, Any]) -> str:
    """What is swept, with the values of a point."""
    swept = _swept_keys()
    return redact(" ".join(f"{k}={v}" for k, v in record["overrides"].items() if not swept or k in swept))


def _swept_keys() -> set[str]:
    """Keys that the sweep's command line gives several values; empty where that cannot be told."""
    folder = os.environ.get(FOLDER_VARIABLE)
    command = Path(folder or "") / COMMAND
    if not folder or not command.exists():
        return set()
    words = (word.partition("=") for word in json.loads(command.read_text()))
    return {key for key, _, value in words if any(mark in value for mark in (",", "(")) and not value.startswith("[")}

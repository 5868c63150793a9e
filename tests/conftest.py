"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the real test images (mtd, pets, ksdd1), or a skip that says how to give it."""
    named = os.environ.get("BENCH_TEST_DATA")
    if not named:
        pytest.skip("BENCH_TEST_DATA does not name a folder with the real test images")
    folder = Path(named).resolve()
    if not folder.is_dir():
        pytest.skip(f"BENCH_TEST_DATA={named} is not a folder")
    return folder


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """Start every test as a process of its own would: only sweeps remember entries, and they switch it on."""
    from benchmark.core.memory import process_memory

    process_memory.allow(0)
    process_memory.clear()


LIGHT = frozenset({"chat", "config", "core", "fetching", "report", "results", "scoring", "stages", "weights"})
"""Folders whose files take seconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with this folder's own files, whose tests start programs, and end with light ones: workers end together."""
    here = Path(__file__).parent
    items.sort(key=lambda item: 0 if item.path.parent == here else 1 + bool(LIGHT.intersection(item.path.parts)))

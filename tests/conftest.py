"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
logging.raiseExceptions = False  # a thread that a test gave up may log into its capture, which is closed by then

settings.register_profile("steady", derandomize=True, deadline=None)  # the same commit gives the same verdict
settings.load_profile("steady")
# Hypothesis also draws constants of the modules that happen to be loaded: another set in each worker, and at times
# another one within a test, which then ends as flaky.
providers._get_local_constants = lambda: providers._local_constants

gc.disable()  # while hundreds of modules are imported; nothing of theirs is garbage


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of every later garbage collection: a third of the time of composing."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable(report: object) -> Generator[None, Any, Any]:
    """Let a failure reach xdist's main process whatever text it shows: it cannot send half characters, and gives up."""
    from benchmark.core.text import each_text, encodable

    sent = yield
    return each_text(sent, encodable) if getattr(report, "failed", False) else sent


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


@pytest.fixture(autouse=True, scope="session")
def databases_are_copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let MLflow make one database for all tests of this process."""
    from benchmark import tracking
    from tests import mlflow_database

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(mlflow_database.TEMPLATE, str(tmp_path_factory.mktemp("mlflow") / "whole.db"))
        patch.setattr(tracking, "make_whole", mlflow_database.copied)
        yield


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """Start every test as a process of its own would: only sweeps remember entries, and they switch it on."""
    from benchmark.core.memory import process_memory

    process_memory.allow(0)
    process_memory.clear()


LONG = frozenset({"test_contract", "test_pipeline_contract", "test_text2seg", "test_tiled", "test_wheel", "test_words"})
"""Files that take half a minute or more, beside those of this folder."""
LIGHT = frozenset({"chat", "config", "core", "fetching", "report", "results", "scoring", "stages", "weights"})
"""Folders whose files take seconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with long files, as those of this folder whose tests start programs, and end with light ones.

    So workers end together, where xdist does not sort files by itself (``--no-loadscope-reorder``).
    """
    here = Path(__file__).parent

    def turn(path: Path) -> int:
        return 0 if path.parent == here or path.stem in LONG else 1 + bool(LIGHT.intersection(path.parts))

    items.sort(key=lambda item: turn(item.path))

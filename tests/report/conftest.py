"""Runs that several tests of the report read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import SMALL_SAT, run
from tests.report.page_runs import SAID, evil_folder, give_rationale


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("report")
    data = evil_folder(place / "mine")
    evil = run(place, "dataset=folder", f"dataset.path={data}", "pipeline=reference_difference")
    give_rationale(evil.folder, SAID)
    run(place, *SMALL_SAT, "pipeline=reference_difference")
    run(place, *SMALL_SAT, "pipeline=constant")
    run(place, *SMALL_SAT, "pipeline=constant", "run.limit=5")
    return place / "results"

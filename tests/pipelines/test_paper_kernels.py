"""Which options compute with the official detector's numbers, and that a result says which it were."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import ROOT, SMALL_SAT, option, run
from tests.tiny_models import one_thread, tiny  # noqa: F401

OURS = {"saa", "iap_as"}
"""Options on GroundingDINO that are no paper's."""


def test_presets_of_papers_run_the_librarys_kernels() -> None:
    files = [file for file in (ROOT / "conf" / "pipeline").glob("*.yaml") if "/detector@" in file.read_text("utf-8")]
    kernels = {file.stem: option("pipeline", file.stem)["detector"]["kernels"] for file in files}
    assert len(kernels) >= 8 and kernels == {name: "fast" if name in OURS else "library" for name in kernels}


@pytest.mark.slow
def test_a_result_says_which_ran(tmp_path: Path) -> None:
    words = (*SMALL_SAT, "run.limit=1", "pipeline=groundingdino_sam", *tiny("groundingdino_sam"))
    for more, how in (((), "library"), (("pipeline.detector.kernels=fast",), "fast")):
        result = run(tmp_path, *words, *more).result
        assert result.config["pipeline"]["detector"]["kernels"] == how

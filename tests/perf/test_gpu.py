"""The measurement on a GPU runs through on a CPU with tiny networks, and says what it wants."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.perf import gpu
from tests.tiny_models import one_thread  # noqa: F401


@pytest.mark.slow
def test_both_pipelines_are_measured_in_both_precisions(capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(["--toy", "--device", "cpu", "--images", "6", "--side", "64", "--batch", "3"])
    lines = capsys.readouterr().out.splitlines()
    found = {line.split()[1]: float(line.split()[2]) for line in lines if line.startswith("PERF ")}
    rates = {f"images_per_second_{name}_{kind}" for name in gpu.NETWORKS for kind in gpu.KINDS}
    gaps = {f"largest_map_difference_{name}_{kind}" for name in gpu.NETWORKS for kind in list(gpu.KINDS)[1:]}
    assert set(found) == rates | gaps and all(found[rate] > 0 for rate in rates)
    assert all(found[f"largest_map_difference_{name}_fp32_one_by_one"] < 1e-6 for name in gpu.NETWORKS)
    assert all(found[f"largest_map_difference_{name}_bf16"] > 0 for name in gpu.NETWORKS)
    told = [line for line in lines if "computing" in line]
    assert any("sam_embedding" in line and line.endswith("up to 3 at once") for line in told)
    assert any("saa_regions" in line and line.endswith("up to 1 at once") for line in told)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--device", "cpu"], "is no GPU: it goes with --toy"),
        (["--toy", "--device", "cpu", "--images", "5"], "6 or more"),
        (["--toy", "--device", "cpu", "--checkout", "nowhere"], "no such folder: nowhere"),
        pytest.param([], "no CUDA device", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")),
    ],
)
def test_what_it_cannot_do_is_said(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        gpu.main(words)
    assert said in " ".join(capsys.readouterr().err.split())

"""The notebook of docs/: committed without outputs, and it runs from its first cell to its last."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import benchmark
from tests.harness import ROOT

NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_its_cells_run_on_few_small_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from matplotlib import pyplot

    small = {"dataset.n_good": 8, "dataset.n_defective": 8, "dataset.n_train": 8, "dataset.size": 96}
    whole = benchmark.evaluate
    monkeypatch.setattr(
        benchmark, "evaluate", lambda *, settings={}, **groups: whole(settings={**small, **settings}, **groups)
    )
    monkeypatch.chdir(tmp_path)
    for name in ("DATA_ROOT", "RESULTS_ROOT", "BENCH_CACHE", "BENCH_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pyplot, "show", lambda: None)
    pyplot.switch_backend("agg")
    names: dict[str, Any] = {}
    for cell in code_cells(nbformat.read(NOTEBOOK, as_version=4)):
        exec(cell.source, names)
    assert len(names["figure"].axes) == 3 * 4 + 4
    assert "did you mean 'reference_difference'" in capsys.readouterr().out
    assert len(list(tmp_path.glob("results/runs/*/result.json"))) == 3


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_kernel_runs_it_and_it_draws_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = tmp_path / "jupyter" / "kernels" / "python3"
    kernels.mkdir(parents=True)  # of this very environment, whatever kernels the user has
    (kernels / "kernel.json").write_text(
        f'{{"argv": ["{sys.executable}", "-m", "ipykernel_launcher", "-f", "{{connection_file}}"], '
        '"display_name": "Python 3", "language": "python"}'
    )
    for name, value in {
        "JUPYTER_PATH": tmp_path / "jupyter", "JUPYTER_RUNTIME_DIR": tmp_path / "runtime", "IPYTHONDIR": tmp_path,
        "OMP_NUM_THREADS": 1,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    for name in ("DATA_ROOT", "RESULTS_ROOT", "BENCH_CACHE", "BENCH_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = code_cells(notebook)
    assert code and not any(cell.outputs for cell in code), "commit the notebook without outputs"
    NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in code for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert "did you mean 'reference_difference'" in outputs[-1]["text"]
    assert not [o for o in outputs if o.get("name") == "stderr" and "rror" in o["text"]]
    assert len(list(tmp_path.glob("results/runs/*/result.json"))) == 3

"""The notebook of docs/: committed without outputs, and it runs from its first cell to its last."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import nbformat.v4
import pytest
from nbclient import NotebookClient

from tests.harness import ROOT

NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"


SMALLER = """
import benchmark
whole = benchmark.evaluate
small = {"dataset.n_good": 8, "dataset.n_defective": 8, "dataset.n_train": 8, "dataset.size": 96}
benchmark.evaluate = lambda *, settings={}, **groups: whole(settings={**small, **settings}, **groups)
"""
"""A first cell after which the default dataset has fewer and smaller images."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", [SMALLER, pytest.param("", marks=pytest.mark.slow)], ids=["small", "as it is"])
def test_it_runs_and_draws_maps(first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and not any(cell.outputs for cell in code), "commit the notebook without outputs"
    if first:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(first))
    NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in code for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert "did you mean 'reference_difference'" in outputs[-1]["text"]
    assert not [o for o in outputs if o.get("name") == "stderr" and "rror" in o["text"]]
    assert len(list(tmp_path.glob("results/runs/*/result.json"))) == 3

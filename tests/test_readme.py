"""Every command of README.md does what the text says, or says in one line what this machine lacks for it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli.main import main
from tests.data.dataset_trees import mvtec_tree
from tests.harness import ROOT

BLOCKS = re.findall(r"^```\w*\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
STARTS = ("make ", "fm-defect-bench ", ".venv/bin/python -m benchmark ")
LINES = [line for block in BLOCKS for line in block.splitlines() if line.startswith(STARTS)]
NOT_RUN = ("make test", "make help")
"""What carries out no command of the package."""
LACKS = re.compile(
    r"no such folder|the data root is no folder|weights file\(s\) that are not there|no weights file at"
    r"|no key: set|needs the extra|no run '|cannot be read|no answers? |no runs below"
    r"|no point can run: (?:data|weights) missing"
)
"""What a machine without data, weights and keys answers."""
SMALL = ("run.limit=2", "tracking=none", "run.gallery=0")
SMALL_SAT = ("dataset.n_good=4", "dataset.n_defective=4", "dataset.n_train=4", "dataset.size=64")


def words_of(line: str) -> list[str]:
    """The words of ``python -m benchmark`` that a line of the README comes to."""
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        command = ["make", "-n", "-o", ".venv/.ready", *words[1:]]
        alone = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}  # of the make that runs the tests
        done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, check=True)
        (recipe,) = done.stdout.splitlines()
        words = shlex.split(recipe)  # as bash does, which leaves a ~ behind a dot and an equals sign alone
    return words[words.index("benchmark") + 1 :] if "benchmark" in words else words[1:]


def test_the_readme_has_its_commands() -> None:
    assert len(LINES) > 30
    assert 'make bench DATASET=folder PIPELINE=reference_difference ARGS="dataset.path=~/my_parts"' in LINES


def _table_and_maps(home: Path) -> None:
    """Write a table of the images of ``my_parts``, and a score map of each, by its path there and in the folder."""
    rows = ["image,label,split"]
    for image in sorted((home / "my_parts").glob("part/t*/*/*.png")):
        _, split, kind, _ = image.relative_to(home / "my_parts").parts
        rows.append(f"{image.relative_to(home)},{int(kind != 'good')},{split}")
        for below in (home, home / "my_parts"):
            scores = (home / "my_maps" / image.relative_to(below)).with_suffix(".npy")
            scores.parent.mkdir(parents=True, exist_ok=True)
            np.save(scores, np.zeros((6, 8), np.float32))
    (home / "parts.csv").write_text("\n".join(rows))


@pytest.mark.parametrize("line", [line for line in LINES if not line.startswith(NOT_RUN)])
def test_a_command_of_the_readme_is_carried_out(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    mvtec_tree(home / "my_parts")
    _table_and_maps(home)
    (home / "gasket.yaml").write_text("source: ours\ncategories:\n  part: {word: gasket, captions: [cut.]}\n")
    (tmp_path / "my_conf" / "dataset").mkdir(parents=True)
    (tmp_path / "my_conf" / "dataset" / "gasket.yaml").write_text(
        "defaults: [folder]\nname: gasket\npath: ~/my_parts\n"
    )
    monkeypatch.chdir(tmp_path)
    places = {"DATA_ROOT": "data", "RESULTS_ROOT": "results", "BENCH_CACHE": "cache", "BENCH_WEIGHTS": "weights"}
    for variable, folder in {"HOME": str(home), **places}.items():
        monkeypatch.setenv(variable, folder)
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    words = words_of(line)
    is_run = "=" in words[0] or words[0] in ("-m", "run", "sweep")
    if is_run:
        given = [word for word in words if word.startswith("dataset=")]
        words += [*SMALL, *(SMALL_SAT if given in ([], ["dataset=sat"]) else ())]
        words += [f"{word.partition('=')[0]}=1" for word in words if word.startswith("hydra.launcher.n_jobs=")]
    status = main(words if not is_run or words[0] in ("run", "sweep") else ["run", *words])
    told = capsys.readouterr()
    assert "Lexer" not in told.err and "Traceback" not in told.err, told.err
    if status:
        assert told.err.startswith("error: ") or "] " in told.out, told.err
        assert LACKS.search(told.err + told.out), told.err + told.out
    assert not (tmp_path / "~").exists()

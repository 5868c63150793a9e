"""Images of a run in words of the line, and as CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pytest

from benchmark.cli.main import main
from benchmark.report.image_rows import confusion_line, csv_of, verdicts
from benchmark.report.tables import print_result
from benchmark.results.files import read_rows
from tests.harness import SMALL_SAT, run

ROWS = pd.DataFrame(
    {
        "id": ["a", "b", "c", "d", "=e()", "f"],
        "defective": [True, True, False, False, True, False],
        "outcome": ["ok", "ok", "ok", "ok", "failed", "ok"],
        "label": [True, False, False, True, None, None],
        "image_score": [0.1, 0.2, 0.3, float("nan"), None, 1e-17],
    }
)


def test_each_image_has_its_verdict_and_none_without_an_answer() -> None:
    assert verdicts(ROWS) == ["found", "missed", "passed", "false alarm", "", ""]
    assert confusion_line(ROWS) == (
        "labels: 1 of 2 defective found, 1 missed (50.0%); 1 false alarm on 2 good (50.0%); 2 images without a label"
    )
    assert confusion_line(ROWS.assign(label=None)) is None
    assert confusion_line(ROWS[:2]) == "labels: 1 of 2 defective found, 1 missed (50.0%)"


def test_csv_keeps_every_digit_and_no_formula() -> None:
    text, count = csv_of(ROWS)
    read = list(csv.DictReader(io.StringIO(text)))
    assert count == len(read) == 6 and read[4]["id"] == "'=e()"
    assert [row["image_score"] for row in read] == ["0.1", "0.2", "0.3", "", "", "1e-17"]
    assert [row["id"] for row in csv.DictReader(io.StringIO(csv_of(ROWS, only="wrong")[0]))] == ["b", "d"]
    assert csv_of(ROWS, only="failed")[1] == 1


def test_the_command_writes_them_and_the_table_says_the_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(tmp_path, *SMALL_SAT, "pipeline=reference_difference")
    print_result(done)
    said = verdicts(read_rows(done.folder))
    assert f"labels: {said.count('found')} of 6 defective found" in capsys.readouterr().out
    root = str(tmp_path / "results")
    assert main(["rows", "sat", "only=wrong", "--results-root", root]) == 0
    written = pd.read_csv(done.folder / "per_image_wrong.csv")
    assert len(written) == said.count("missed") + said.count("false alarm")
    assert main(["rows", "nothing", "--results-root", root]) == 1
    assert main(["rows", "sat", "only=wrongs", "--results-root", root]) == 2


def test_without_labels_nothing_is_said_to_be_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, *SMALL_SAT, "pipeline=patchcore", "networks=toy")
    root = str(tmp_path / "results")
    assert main(["rows", "sat", "only=wrong", "--results-root", root]) == 1
    assert "predicted no labels, so no image is right or wrong" in capsys.readouterr().err
    assert main(["rows", "sat", "--results-root", root]) == 0
    assert "without predicted labels there is no verdict" in capsys.readouterr().out

"""The leaderboard ranks within a protocol, marks what is published, and shows no text of a stranger as markup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.cli.main import main
from benchmark.core.resources import REFERENCE
from benchmark.report import result_forms
from benchmark.report.leaderboard import Board, Entry, boards, grid
from benchmark.report.submission_comment import MOST_LETTERS, comment, differences, of_file
from benchmark.results import files
from benchmark.results.submission import Submission
from benchmark.running.submitting import submission_of


@pytest.fixture(scope="module")
def submitted() -> Submission:
    result = files.read_result(REFERENCE / "sat-patchcore")
    return submission_of(result, who="Ada L.", licence="CC-BY-4.0", method=None, source=None, private=False)


def on_mvtec(one: Submission, **choices: str) -> Submission:
    """Return the submission as one of MVTec AD under SAA+'s protocol."""
    data = one.data.model_copy(update={"option": "mvtec", "card": "mvtec"})
    from benchmark.report.papers.fairness import preset_hash

    protocol = one.protocol.model_copy(update={"name": "saa_plus", "hash": preset_hash("saa_plus")})
    new = {**one.choices, "dataset": "mvtec", "protocol": "saa_plus", **choices}
    return one.model_copy(update={"data": data, "protocol": protocol, "choices": new}).sealed()


def entry(name: str, **values: float) -> Entry:
    return Entry(method=name, by="p", state="published", values={k: (v, None, None) for k, v in values.items()})


def test_the_best_comes_first_equal_values_share_a_rank_and_gaps_come_last() -> None:
    own = (entry("a", ap=0.2), entry("b", ap=0.5, auroc=0.9), entry("c", auroc=0.8), entry("d", ap=0.5))
    board = Board(dataset="x", protocol="p", title="t", entries=own)
    table = grid(board)
    assert table.columns[4:] == ("ap", "auroc")
    assert [row[:2] for row in table.rows] == [("1", "b"), ("1", "d"), ("3", "a"), ("–", "c")]
    assert table.rows[0][4:] == ("0.500 ★", "0.900 ★") and table.rows[3][4:] == ("–", "0.800")


def test_a_submission_stands_beside_published_numbers_of_its_protocol_and_images(submitted: Submission) -> None:
    one = on_mvtec(submitted)
    board = next(b for b in boards([one], {one.digest: "run again"}) if b.protocol == "saa_plus")
    states = {(e.by, e.state) for e in board.entries}
    assert ("Ada L.", "submitted, run again") in states and ("saa_plus_2023", "published") in states
    others = [b for b in boards([one], {}) if b.dataset == "mvtec" and b is not board]
    assert all(b.protocol != "saa_400_pooled" for b in others), "they have moved"
    part = one.model_copy(update={"settings": {"dataset.categories": ("bottle",)}}).sealed()
    alone = next(b for b in boards([part], {}) if b.protocol == "saa_plus")
    assert [e.by for e in alone.entries] == ["Ada L."], "other images"
    rows = {row[0]: row for row in differences(one, board).rows}
    assert rows["ap"][3].startswith("0.") and "SAA+ (official code)" in rows["ap"][3] and rows["ap"][4][0] in "+-"


def test_texts_of_a_stranger_are_no_markup_in_a_comment() -> None:
    evil = "<img src=x onerror=y> @everyone #1 [a](javascript:b) `c` https://x.y | **d**\n# e"
    text = comment([of_file(evil, [("refused", evil, evil)], None)])
    for mark in ("<img", "@everyone", "#1", "](", "`", "https://", "| **", "\n# e"):
        assert mark not in text, mark
    assert text.count("\n| ") == 3, "one row"
    long = comment(["x" * 50 + "\n"] * 5000)
    assert len(long) < MOST_LETTERS + 100 and long.endswith("and more, cut off here\n")


def test_results_in_the_forms_of_hugging_face_have_its_fields_alone(tmp_path: Path) -> None:
    words = ["export", str(REFERENCE / "sat-patchcore"), f"out={tmp_path}"]
    assert main([*words, "form=huggingface", "dataset_id=me/sat", "url=https://x.y/z"]) == 0
    about: dict[str, Any] = yaml.safe_load((tmp_path / "eval.yaml").read_text())
    assert set(about) == {"name", "description", "evaluation_framework", "tasks"}
    assert all(set(task) == {"id", "config", "split"} for task in about["tasks"])
    found = yaml.safe_load((tmp_path / ".eval_results" / "sat-patchcore.yaml").read_text())
    assert [one["dataset"]["task_id"] for one in found] == [task["id"] for task in about["tasks"]]
    assert set(found[0]) == {"dataset", "value", "date", "evaluation_framework", "source", "notes"}
    assert set(found[0]["dataset"]) == {"id", "task_id"} and found[0]["date"] == "2026-11-26"
    result = files.read_result(REFERENCE / "sat-patchcore")
    assert found[0]["value"] == next(row.value for row in result.headline().values() if row.value is not None)


def test_results_as_csv_and_words_that_do_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(REFERENCE / name) for name in ("sat-patchcore", "mtd-constant")]
    assert main(["export", *runs, "form=csv", f"out={tmp_path}"]) == 0
    lines = (tmp_path / "results.csv").read_text().splitlines()
    results = [files.read_result(Path(run)) for run in runs]
    assert lines[0].split(",") == list(result_forms.COLUMNS)
    assert len(lines) == 1 + sum(len(result.metrics) for result in results)
    for wrong in (["form=huggingface"], ["form=huggingface", "dataset_id=sat"]):
        assert main(["export", runs[0], *wrong, f"out={tmp_path}"]) == 1
        assert "OWNER/NAME" in capsys.readouterr().err

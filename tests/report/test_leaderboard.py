"""The leaderboard ranks within a protocol, marks what is published, and shows no text of a stranger as markup."""

from __future__ import annotations

from dataclasses import replace
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


def test_no_submission_takes_a_column_or_the_ranking_from_others() -> None:
    usual = dict.fromkeys(("image_auroc", "auroc", "ap", "f1_max", "aupro", "image_ap", "image_f1_max"), 0.5)
    first = replace(entry("a", **usual), digest="1")
    other = replace(entry("b", image_auroc=0.6, max_iou=0.7, image_f2_max=0.8, iou=0.1), digest="2")
    alone, both = (Board(dataset="x", protocol="p", title="t", entries=own) for own in ((first,), (first, other)))
    assert alone.metrics == tuple(usual) and both.metrics == (*usual, "iou")
    assert grid(both).rows[1][4:] == (*("0.500" for _ in usual), "–")
    printed = (entry("c", ap=0.2), entry("d", ap=0.3, aupro_200step=0.1))
    for entries in (printed, (*printed, first), (*printed, first, other)):
        board = Board(dataset="x", protocol="p", title="t", entries=entries)
        assert board.metrics[0] == "ap" and "aupro_200step" in board.metrics


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
    results = [files.read_result(Path(run)) for run in runs]
    lines = (tmp_path / f"{results[0].id}+{results[1].id}.csv").read_text().splitlines()
    assert lines[0].split(",") == list(result_forms.COLUMNS)
    assert len(lines) == 1 + sum(len(result.metrics) for result in results)
    for wrong in (["form=huggingface"], ["form=huggingface", "dataset_id=sat"]):
        assert main(["export", runs[0], *wrong, f"out={tmp_path}"]) == 1
        assert "OWNER/NAME" in capsys.readouterr().err


def test_an_export_is_named_after_its_runs_and_says_what_it_replaces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "results"
    for name in ("sat-patchcore", "mtd-constant"):
        for form in (["form=csv"], ["form=huggingface", "dataset_id=me/sat"]):
            assert main(["export", str(REFERENCE / name), *form, f"results_root={root}"]) == 0
    ids = {files.read_result(REFERENCE / name).id for name in ("sat-patchcore", "mtd-constant")}
    assert {path.stem for path in root.glob("exports/*.csv")} == ids
    assert {path.parent.name for path in root.glob("exports/*/eval.yaml")} == ids
    assert "in place of" not in capsys.readouterr().out
    next(root.glob("exports/sat-*.csv")).write_text("older")
    assert main(["export", str(REFERENCE / "sat-patchcore"), "form=csv", f"results_root={root}"]) == 0
    assert "written in place of another content: " in capsys.readouterr().out
    many = [str(REFERENCE / "sat-patchcore")] * 12
    assert main(["export", *many, "form=csv", f"results_root={root}"]) == 0
    assert len(list(root.glob("exports/sat-patchcore-*+11-more-*.csv"))) == 1

"""What a submission says is made again where it can be, and nothing of a stranger is carried out."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli.main import main
from benchmark.core.errors import BenchmarkError
from benchmark.core.resources import COMMUNITY
from benchmark.results import files
from benchmark.results.export_index import EXPORT
from benchmark.results.submission import A_FILE, Submission, read_submission
from benchmark.results.verified import read_verified
from benchmark.running.checking import Check
from benchmark.running.recomputing import recompute
from benchmark.running.submitting import submission_of
from tests.harness import SMALL_SAT, places, run
from tests.running.submitted import GIVEN, altered, reference, refusals, written


@pytest.fixture(scope="module")
def made() -> Submission:
    return submission_of(reference(), **GIVEN)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("finished")
    words = (*SMALL_SAT, "pipeline=reference_difference", "run.export=[maps,masks,csv]")
    return folder, run(folder, *words)


def test_a_run_is_submitted_verified_and_recorded(
    finished: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, done = finished
    assert main(["submit", str(done.folder), "who=Ada L.", "licence=CC-BY-4.0", f"out={tmp_path}"]) == 0
    (path,) = tmp_path.glob("sat/*.json")
    assert f"written: {path}" in capsys.readouterr().out
    assert main(["submit", str(done.folder), "who=Eve", "licence=CC-BY-4.0", f"out={tmp_path}"]) == 1
    assert "is of the same run; there can be one" in (told := capsys.readouterr().out)
    assert "nothing written: " in told and list(tmp_path.glob("sat/*.json")) == [path]
    words = [*places(folder)[:1], f"run.cache_root={folder / 'cache'}"]
    said = tmp_path / "said.md"
    assert main(["verify-submission", str(path), "record", f"markdown={said}", *words]) == 0
    shown = capsys.readouterr().out
    assert "verified: values made again: run again: " in shown and "not verified: data: " in shown
    assert read_verified(tmp_path) == {read_submission(path).digest: "run again"}
    assert "| verified | values made again |" in said.read_text() and "| best published |" in said.read_text()


def test_what_was_asked_and_not_done_ends_with_1(
    finished: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, done = finished
    path = written(submission_of(done.result, **GIVEN), tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    words = ["verify-submission", str(path), *places(folder)[:1], f"run.cache_root={folder / 'cache'}"]
    assert main([*words, f"maps={empty}"]) == 1
    shown = capsys.readouterr().out
    assert "not verified: values made again: " in shown and f"not done: maps={empty} " in shown.splitlines()[-1]
    for wrong, told in (
        ([f"maps={empty / 'no'}"], f"maps={empty / 'no'}: no such folder"),
        (["pipeline.smoothnig=2"], "unknown key 'pipeline.smoothnig'"),
        (["quick"], "would go unread"),
    ):
        assert main([*words, *wrong]) == 1
        assert told in capsys.readouterr().err


def test_values_that_an_export_does_not_give_are_named(finished: tuple[Path, Any], tmp_path: Path) -> None:
    folder, done = finished
    one = submission_of(done.result, **GIVEN)
    shutil.copytree(done.folder / EXPORT / "maps", tmp_path / "maps")
    words = [*places(folder)[:1], f"run.cache_root={folder / 'cache'}"]
    (found,) = recompute(one, maps=tmp_path / "maps", extra=words)
    assert found.state == "not verified" and "iou" in found.told.rpartition("; ")[0]
    assert "the export lacks csv and masks; it has all with run.export=[maps,masks,csv]" in found.told


def test_the_names_of_private_data_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = reference()
    data = result.dataset.model_copy(update={"name": "bolts", "categories": ["secret product"]})
    rows = [m.model_copy(update={"category": "pooled"}) for m in result.metrics if m.category == "pooled"]
    own = altered(result, choices={**result.choices, "dataset": "folder"}, dataset=data, metrics=rows)
    files.write_atomically(tmp_path / "own" / files.RESULT, own.model_dump_json().encode())
    words = ["submit", str(tmp_path / "own"), f"out={tmp_path}", "licence=MIT"]
    assert main([*words, "who=Ada", "private_data"]) == 0
    assert "of your private data, these become public: bolts, secret product" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["maps", pytest.param("run", marks=pytest.mark.slow)])
def test_a_value_that_is_not_found_again_is_refused(finished: tuple[Path, Any], how: str) -> None:
    folder, done = finished
    one = submission_of(done.result, **GIVEN)
    maps = done.folder / EXPORT if how == "maps" else None
    words = [*places(folder)[:1], f"run.cache_root={folder / 'cache'}"]

    def again(what: Submission) -> Check:
        (check,) = recompute(what, maps=maps, extra=words)
        return check

    row = next(row for row in one.values if row.high is not None and row.value + 0.01 < row.high)
    better = row.model_copy(update={"value": row.value + 0.01})
    moved = one.model_copy(update={"values": tuple(better if other is row else other for other in one.values)}).sealed()
    assert refusals(moved) == [], "it lies in its interval: only making it again shows it"
    found = again(moved)
    assert found.state == "refused" and f" 1 of {len(one.values)} values differ; {row.metric} of " in found.told
    if how == "maps":
        return
    data = one.data.model_copy(update={"fingerprint": "0" * 64})
    other = again(one.model_copy(update={"data": data}))
    assert other.state == "not verified" and "other images or labels" in other.told


@pytest.mark.parametrize(
    "settings",
    [
        {"dataset.n_good": 10**9},
        {"pipeline._target_": "os.system"},
        {"tracking.uri": "x"},
        {"dataset.nothing": 1},
        {"pipeline.smoothing": "${oc.env:HOME}"},
        {"pipeline.smoothing": A_FILE},
    ],
)
def test_a_strangers_settings_are_not_carried_out(made: Submission, settings: dict[str, Any]) -> None:
    (check,) = recompute(made.model_copy(update={"settings": settings}), maps=None, extra=["run.limit=1"])
    assert check.state == "not verified" and ("stranger" in check.told or "have no" in check.told)


@pytest.mark.parametrize("pipeline", ["gemini", "saa_plus"])
def test_a_run_that_asks_a_service_or_lacks_weights_is_not_carried_out(
    made: Submission, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipeline: str
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "abcdef-123")
    choices = {"dataset": "sat", "pipeline": pipeline, "protocol": "default", "metric": "default"}
    extra = [f"run.weights_root={tmp_path}"]
    (check,) = recompute(made.model_copy(update={"choices": choices}), maps=None, extra=extra)
    assert check.state == "not verified"
    assert ("asks a service" if pipeline == "gemini" else "weights missing") in check.told


def test_committed_submissions_stand_up() -> None:
    paths = sorted(COMMUNITY.glob("*/*.json"))
    assert paths and all(refusals(read_submission(path), path) == [] for path in paths)
    assert {path.suffix for path in COMMUNITY.glob("*/*")} == {".json"}
    assert set(read_verified(COMMUNITY)) <= {read_submission(path).digest for path in paths}


def test_a_file_that_looks_like_a_setting_is_read_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify-submission", "quick", "results/community/sat/run.limit=1"]) == 1
    assert "sat/run.limit=1 cannot be read: there is no such file" in capsys.readouterr().err
    assert main(["verify-submission", "quick", "maps=x", "a.json"]) == 1
    with pytest.raises(BenchmarkError):
        submission_of(altered(reference(), choices={**reference().choices, "pipeline": "nothing"}), **GIVEN)

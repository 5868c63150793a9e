"""A submission is made, verified, broken on purpose in many ways, and refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli.main import main
from benchmark.core.errors import BenchmarkError, ResultsError
from benchmark.core.resources import COMMUNITY, REFERENCE
from benchmark.results import files
from benchmark.results.export_index import EXPORT
from benchmark.results.schema import RunResult
from benchmark.results.submission import A_FILE, MOST_BYTES, Submission, looks_like_path, read_submission
from benchmark.results.verified import read_verified
from benchmark.running.checking import Check, content_checks
from benchmark.running.recomputing import recompute
from benchmark.running.submitting import submission_of
from tests.harness import SMALL_SAT, places, run

GIVEN: dict[str, Any] = {"who": "Ada L.", "licence": "CC-BY-4.0", "method": None, "source": None, "private": False}


def reference(name: str = "sat-patchcore") -> RunResult:
    return files.read_result(REFERENCE / name)


@pytest.fixture(scope="module")
def made() -> Submission:
    return submission_of(reference(), **GIVEN)


def written(one: Submission, folder: Path) -> Path:
    path = folder / one.place
    files.write_atomically(path, one.model_dump_json(indent=1).encode())
    return path


def refusals(one: Submission, path: Path | None = None) -> list[str]:
    return [f"{check.what}: {check.told}" for check in content_checks(one, path) if check.state == "refused"]


def test_the_slim_form_of_a_run_holds_what_matters_and_comes_back(made: Submission, tmp_path: Path) -> None:
    result, path = reference(), written(made, tmp_path)
    assert read_submission(path) == made and path.stat().st_size < 10_000
    assert made.place.parent.name == "sat" and made.place.name == f"patchcore-{made.digest[:12]}.json"
    assert made.values[0].value == result.headline()[made.values[0].metric].value
    assert made.protocol.hash == result.protocol.hash and made.run_digest == result.digest
    assert {row.metric for row in made.values} == {
        name for name, row in result.headline().items() if row.value is not None
    }
    assert made.settings == {} and submission_of(reference("mtd-patchcore"), **GIVEN).settings == {
        "dataset.split": "holdout20"
    }
    assert refusals(made, path) == []


def change(one: Submission, **fields: Any) -> dict[str, Any]:
    """Return a submission as JSON with fields of dotted names set; its digest fits unless it is what is changed."""
    values = json.loads(one.model_dump_json())
    for key, value in fields.items():
        *parents, last = key.split("__")
        place = values
        for name in parents:
            place = place[int(name) if name.isdigit() else name]
        place[int(last) if last.isdigit() else last] = value
    return values


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "a better value": ({"values__0__value": 0.9999}, "outside of its interval"),
    "no share": ({"values__0__value": 1.5, "values__0__low": None, "values__0__high": None}, "outside of 0 to 1"),
    "half an interval": ({"values__0__low": None}, "an interval with one end"),
    "an unknown metric": ({"values__0__metric": "auorc"}, "no metric of this package"),
    "an unknown category": ({"values__0__category": "lid"}, "no such category"),
    "more images than there are": ({"values__0__n": 264}, "which the data does not have"),
    "outcomes of other images": ({"outcomes": {"ok": 5}}, "outcomes of 5 images"),
    "other images": ({"data__images": 262, "outcomes": {"ok": 262}}, "those of its fingerprint are 263"),
    "no card": ({"data__card": "nowhere"}, "no card datasets/nowhere"),
    "another name of the data": ({"data__option": "mvtec"}, "its option is sat"),
    "not said to be private": ({"data__card": None}, "not said to be private"),
    "another protocol": ({"protocol__hash": "0" * 64}, "has the hash 57da1ad2e7fb"),
    "an unknown protocol": ({"protocol__name": "easy"}, "conf/protocol has no easy"),
    "an unknown option": ({"choices__pipeline": "patchcroe"}, "conf/pipeline has no patchcroe"),
    "a group that leaves conf": ({"choices__../../x": "y"}, "no y"),
    "other weights": ({"weights__0__sha256": "0" * 64}, "not the digest that is published"),
    "random weights": ({"weights__0__random": True}, "the values mean nothing"),
    "a path": ({"settings": {"pipeline.prompts": "/home/ada/p.yaml"}}, "is a path of a machine"),
    "a credential": ({"settings": {"pipeline.url": "x?api_key=abcdef"}}, "looks like a credential"),
    "an escape": ({"weights__0__licence": "MIT\x1b[2J"}, "has control characters"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_content_that_cannot_be_true_or_public_is_refused(made: Submission, kind: str) -> None:
    fields, told = BROKEN[kind]
    one = Submission.model_validate_json(json.dumps(change(made, **fields))).sealed()
    assert any(told in line for line in refusals(one)), refusals(one)


def test_a_digest_a_place_and_a_second_file_that_do_not_fit_are_refused(made: Submission, tmp_path: Path) -> None:
    touched = Submission.model_validate_json(json.dumps(change(made, who="Eve")))
    (told,) = refusals(touched)
    assert told.startswith(f"digest: the content has {touched.computed_digest()[:12]}, so it was edited")
    path = written(made, tmp_path)
    moved = path.rename(path.with_name("patchcore-000000000000.json"))
    assert any(line.startswith("place: sat/patchcore-000000000000.json; its content") for line in refusals(made, moved))
    again = made.model_copy(update={"who": "Eve"}).sealed()
    assert any(f"sat/{moved.name} is of the same run; " in line for line in refusals(again, written(again, tmp_path)))


@pytest.mark.parametrize(
    ("fields", "is_another"),
    [
        ({"who": "Eve"}, False),
        ({"method": "mine"}, False),
        ({"choices__metric": "standard"}, False),
        ({"weights__0__licence": "mine"}, False),
        ({"settings": {"run.on_error": "row", "dataset.name": "mine"}}, False),
        ({"data__option": "mine"}, False),
        ({"settings": {"run.seed": 1}}, True),
        ({"choices__pipeline": "padim"}, True),
        ({"data__fingerprint": "0" * 64}, True),
        ({"protocol__hash": "0" * 64}, True),
        ({"weights__0__sha256": "0" * 64}, True),
        ({"files": {"pipeline.prompts": "0" * 64}}, True),
    ],
)
def test_one_experiment_has_one_submission_whoever_gives_it(
    made: Submission, tmp_path: Path, fields: dict[str, Any], is_another: bool
) -> None:
    first = written(made, tmp_path)
    values = change(made, **fields, run_digest="1" * 64)  # found again on another processor
    other = Submission.model_validate_json(json.dumps(values)).sealed()
    lines = [line for line in refusals(other, written(other, tmp_path)) if line.startswith("unique: ")]
    assert (lines == []) == is_another
    if not is_another:
        told = f"sat/{first.name} has the same options"
        assert told in lines[0] and "verify-submission FILE=…/" in lines[0] and "remove that file first" in lines[0]


@pytest.mark.parametrize("licence", ["CC-BY-9.9", "MYLICENCE", "LicenseRef-mine", "MIT OR Apache-2.0", "my own", ""])
def test_a_licence_is_one_that_spdx_lists_as_spdx_writes_it(made: Submission, licence: str) -> None:
    with pytest.raises(ResultsError, match=r"^licence=.* is no licence that SPDX lists"):
        submission_of(reference(), **{**GIVEN, "licence": licence})
    assert submission_of(reference(), **{**GIVEN, "licence": "cc-by-4.0"}).licence == "CC-BY-4.0"
    for wrong, told in (("cc-by-4.0", "is written CC-BY-4.0 by SPDX"), ("CC-BY-9.9", "no licence that SPDX lists")):
        assert any(told in line for line in refusals(made.model_copy(update={"licence": wrong}).sealed()))


def test_a_mean_that_its_categories_do_not_make_is_refused(made: Submission) -> None:
    one, two = (made.values[0].model_copy(update={"category": name, "value": 0.25}) for name in ("lid", "nut"))
    data = made.data.model_copy(update={"categories": ("lid", "nut")})
    both = made.model_copy(update={"data": data, "values": (*made.values, one, two)}).sealed()
    assert any("is not the mean 0.25 of its categories" in line for line in refusals(both))


def _raw(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text) and None


HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a link": (lambda path: path.symlink_to("/etc/hostname"), "no regular file"),
    "a folder": (lambda path: path.mkdir(), "no regular file"),
    "too large": (_raw(" " * (MOST_BYTES + 1)), "more than 1,000,000 bytes"),
    "no JSON": (_raw("\x80\x04cposix\nsystem"), "not the JSON of a submission"),
    "no UTF-8": (lambda path: path.write_bytes(b'{"a": "\xff"}'), "not the JSON of a submission"),
    "a key twice": (_raw('{"who": "a", "who": "b"}'), "a key stands twice"),
    "not a number": (_raw('{"values": [NaN]}'), "NaN is no number"),
    "deep": (_raw("[" * 9 + "]" * 9), "nested more than 8 deep"),
    "bottomless": (_raw("[" * 200_000), "nested more than 8 deep"),
    "an endless number": (_raw(f'{{"schema_version": {"9" * 5000}}}'), "not the JSON of a submission"),
    "a list": (_raw("[]"), r"not a submission of this version \(the file: "),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    write, told = HOSTILE[kind]
    write(path := tmp_path / "x=1.json")
    with pytest.raises(ResultsError, match=told):
        read_submission(path)
    assert main(["verify-submission", "quick", str(path), f"markdown={tmp_path / 'said.md'}"]) == 1
    said = capsys.readouterr().out
    assert "refused: file: " in said and said.endswith("refused\n") and str(tmp_path) not in said
    assert told.partition(r" \(")[0] in (tmp_path / "said.md").read_text()


FIELDS: dict[str, dict[str, Any]] = {
    "an unknown field": {"trust": True}, "another version": {"schema_version": 2},
    "a number as text": {"data__images": "263"},
    "infinite": {"values__0__value": 1e999},
    "a method with a path": {"method": "../../x"}, "none": {"weights__0": None},
    "a name with markup": {"who": "<img src=x>"}, "no address": {"source": "javascript:x"}, "no value": {"values": []},
    "a negative count": {"data__images": -1}, "no licence": {"licence": "<b>"}, "nested": {"settings": {"a": {"b": 1}}},
    "a digest that is none": {"run_digest": "xyz"}, "an outcome that is none": {"outcomes": {"great": 263}},
}  # fmt: skip


@pytest.mark.parametrize("kind", FIELDS)
def test_fields_of_another_kind_are_refused_by_name(made: Submission, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(change(made, **FIELDS[kind])).replace("Infinity", "1e999"))
    with pytest.raises(ResultsError, match="not a submission of this version") as raised:
        read_submission(path)
    assert not FIELDS[kind].keys() & {"who", "method", "source", "licence"} or "[" not in str(raised.value), "a regex"


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("/home/a", True),
        ("~/a", True),
        ("see C:\\a", True),
        ("x=../a", True),
        ("file:///a", True),
        ("\\\\host\\a", True),
    ]
    + [(word, False) for word in ("https://a.b/c", "facebook/dinov2", "n/a", "a - b", "Apache-2.0 (the LICENSE)")],
)
def test_paths_of_a_machine_are_known(text: str, is_one: bool) -> None:
    assert looks_like_path(text) == is_one


def altered(result: RunResult, **changes: Any) -> RunResult:
    return result.model_copy(update=changes)


def test_what_no_one_could_repeat_is_not_submitted() -> None:
    result = reference()
    part = altered(result, dataset=result.dataset.model_copy(update={"n_samples_effective": 10}))
    protocol = result.protocol.model_copy(update={"name": "default* (size=(8, 8))"})
    own = altered(
        result,
        choices={**result.choices, "dataset": "folder"},
        dataset=result.dataset.model_copy(update={"name": "bolts"}),
    )
    for wrong, told in (
        (part, "saw 10 of 263 images"),
        (altered(result, meaningless=True), "random weights"),
        (altered(result, protocol=protocol), "no option of conf/protocol"),
        (own, "the word private_data says so"),
    ):
        with pytest.raises(ResultsError, match=told):
            submission_of(wrong, **GIVEN)
    private = submission_of(own, **{**GIVEN, "private": True})
    assert private.data.card is None and refusals(private) == []
    for key, value in {"who": "<b>", "source": "ftp://x", "method": "a/b"}.items():
        with pytest.raises(ResultsError, match=f"^{key}='{value}': (a name begins|give an address)"):
            submission_of(result, **{**GIVEN, key: value})


def test_no_path_and_no_key_of_the_machine_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    result, home = reference(), str(Path.home() / "secret")
    pipeline = {**result.config["pipeline"], "smoothing": home}
    weights = [result.weights[0].model_copy(update={"name": f"{home}/w.pt"})]
    one = submission_of(altered(result, config={**result.config, "pipeline": pipeline}, weights=weights), **GIVEN)
    assert one.settings == {"pipeline.smoothing": A_FILE} and home not in one.model_dump_json()
    monkeypatch.setenv("GEMINI_API_KEY", "abcdef-123")
    keyed = {**result.config, "pipeline": {**pipeline, "smoothing": "abcdef-123"}}
    with pytest.raises(ResultsError, match="looks like a credential, which must not be public"):
        submission_of(altered(result, config=keyed), **GIVEN)


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

"""A submission is made, broken on purpose in many ways, and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli.main import main
from benchmark.core.errors import ResultsError
from benchmark.results.submission import A_FILE, MOST_BYTES, Submission, looks_like_path, read_submission
from benchmark.running.submitting import submission_of
from tests.running.submitted import GIVEN, altered, change, reference, refusals, written


@pytest.fixture(scope="module")
def made() -> Submission:
    return submission_of(reference(), **GIVEN)


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

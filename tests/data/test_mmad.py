"""MMAD's file of questions: what is read, what is left out, and what is told of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.core.errors import ConfigError, DataError
from benchmark.core.questions import says_defective
from tests.data.dataset_trees import dataset
from tests.data.mmad_tree import asked, detection, entries, mmad_tree, random_image

PARTIAL = {"allow_partial": True}


def test_images_are_labelled_grouped_and_shown_with_their_templates(tmp_path: Path) -> None:
    mmad_tree(tmp_path / "mmad", dict(entries(4)))
    manifest = dataset("mmad", **PARTIAL).manifest(tmp_path)
    assert len(manifest.test) == 16 and sum(s.defective for s in manifest.test) == 8
    assert set(manifest.categories) == {"DS-MVTec", "MVTec-LOCO", "VisA", "GoodsAD"}, "templates of MVTec-AD too"
    first, second = manifest.test[:2]
    assert (first.id, first.defect_type) == ("DS-MVTec/bottle/image/good/000.png", "good")
    assert (second.id, second.defect_type) == ("DS-MVTec/bottle/image/broken_large/000.png", "broken_large")
    assert second.questions is not None and len(second.questions.asked) == 8 and second.mask is None
    assert [q.task for q in second.questions.asked][-2:] == ["Object Analysis"] * 2, "structure and details are one"
    assert second.questions.templates == tuple(f"MVTec-AD/bottle/train/good/00{i}.png" for i in (1, 2))
    known = {s.id for s in manifest.train}
    assert all(t in known for s in manifest.test if s.questions for t in s.questions.templates)
    assert manifest.expected_test == 8366 and any("8350 missing" in note for note in manifest.notes)
    with pytest.raises(DataError, match=r"16 of 8366 \(8350 missing\).*allow_partial"):
        dataset("mmad").manifest(tmp_path)
    similar = dataset("mmad", **PARTIAL, templates="similar", by="class").manifest(tmp_path)
    assert similar.test[1].questions is not None and similar.test[1].questions.templates[0].endswith("002.png")
    assert similar.test[1].category == "bottle" and similar.fingerprint != manifest.fingerprint
    assert dataset("mmad", **PARTIAL, templates="none").manifest(tmp_path).train == ()
    one = dataset("mmad", categories=["pcb1"]).manifest(tmp_path)
    assert len(one.test) == 4 and set(one.categories) == {"VisA"} and one.expected_test is None
    with pytest.raises(ConfigError, match="no category 'pcb7'"):
        dataset("mmad", **PARTIAL, categories=["pcb1", "pcb7"]).manifest(tmp_path)


def test_what_is_asked_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    content = dict(entries(1))
    before = dataset("mmad", **PARTIAL).manifest(mmad_tree(tmp_path / "mmad", content).parent).fingerprint
    content["VisA/pcb1/test/good/0000.JPG"]["conversation"][1]["Answer"] = "D"
    (tmp_path / "mmad" / "mmad.json").write_text(json.dumps(content))
    assert dataset("mmad", **PARTIAL).manifest(tmp_path).fingerprint != before


LEFT_OUT: dict[str, tuple[dict[str, Any], str]] = {
    "no options": (asked("Defect Analysis", "A") | {"Options": {}}, "fewer than two options"),
    "options missing": ({"Question": "q", "Answer": "A", "type": "Defect Analysis"}, "fewer than two options"),
    "options as a list": (asked("Defect Analysis", "A") | {"Options": ["x", "y"]}, "fewer than two options"),
    "one letter twice": (asked("Defect Analysis", "A") | {"Options": {"a": "x", "A": "y", "B": "z"}}, "fewer than two"),
    "key not among them": (asked("Defect Analysis", "E"), "the key is none of the options"),
    "key missing": ({k: v for k, v in asked("Defect Analysis", "A").items() if k != "Answer"}, "none of the options"),
    "numbered": (asked("Defect Analysis", "1", "12"), "an option without a letter"),
    "unknown type": (asked("Weather", "A"), "of the unknown type 'Weather'"),
    "no text": (asked("Defect Analysis", "A") | {"Question": " "}, "no text"),
    "no object": ("what?", "no text"),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_a_question_that_cannot_be_asked_is_left_out_and_told(tmp_path: Path, case: str) -> None:
    content = dict(entries(1))
    image = "VisA/pcb1/test/good/0000.JPG"
    content = {image: content[image]}
    wrong, why = LEFT_OUT[case]
    content[image]["conversation"].append(wrong)
    manifest = dataset("mmad", **PARTIAL).manifest(mmad_tree(tmp_path / "mmad", content).parent)
    (sample,) = manifest.test
    assert sample.questions is not None and len(sample.questions.asked) == 3
    assert any(note.startswith("1 question is left out") and why in note for note in manifest.notes), manifest.notes


def test_options_keep_their_order_and_lower_letters_are_capitals(tmp_path: Path) -> None:
    image = "VisA/pcb1/test/good/0000.JPG"
    shuffled = asked("Object Details", "c", "dbca")
    content = {image: {"conversation": [detection("No."), shuffled]}}
    (sample,) = dataset("mmad", **PARTIAL).manifest(mmad_tree(tmp_path / "mmad", content).parent).test
    assert sample.questions is not None
    assert sample.questions.asked[1].letters == ("D", "B", "C", "A") and sample.questions.asked[1].key == "C"


def test_a_key_against_the_folder_is_told(tmp_path: Path) -> None:
    content = {"VisA/pcb1/test/good/0000.JPG": {"conversation": [detection("Yes.")]}}
    manifest = dataset("mmad", **PARTIAL).manifest(mmad_tree(tmp_path / "mmad", content).parent)
    assert any(note.startswith("1 key of a detection question contradicts") for note in manifest.notes)


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "not there": (lambda root: (root / "mmad.json").unlink(), "is not there; unpack"),
    "a list": (lambda root: (root / "mmad.json").write_text("[]"), "no object of images"),
    "cut": (lambda root: (root / "mmad.json").write_text('{"a'), "not JSON"),
    "no conversation": (lambda root: (root / "mmad.json").write_text('{"VisA/p/good/0.png": {}}'), "no conversation"),
    "no path": (lambda root: (root / "mmad.json").write_text('{"a.png": {}}'), "not <subset>/<class>"),
    "outside": (
        lambda root: (root / "mmad.json").write_text(
            json.dumps({"../x/y/good/a.png": {"conversation": [detection("No.")]}})
        ),
        "does not lie below",
    ),
    "image gone": (lambda root: (root / "VisA/pcb1/test/good/0000.JPG").unlink(), "0000.JPG is not there"),
    "template gone": (lambda root: (root / "VisA/pcb1/train/good/000.png").unlink(), "template VisA/pcb1/train/good"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_data_names_the_file(tmp_path: Path, case: str) -> None:
    breaking, message = BROKEN[case]
    breaking(mmad_tree(tmp_path / "mmad", dict(entries(1))))
    with pytest.raises(DataError, match=message):
        dataset("mmad", **PARTIAL).manifest(tmp_path)


def test_a_template_that_is_asked_about_and_a_name_in_another_case(tmp_path: Path) -> None:
    image, other = "VisA/pcb1/test/good/0000.JPG", "VisA/pcb1/test/good/0001.JPG"
    content = {
        image: {"conversation": [detection("No.")], "random_templates": [other, "VisA/pcb1/Train/good/000.png"]},
        other: {"conversation": [detection("No.")], "random_templates": []},
    }
    root = mmad_tree(
        tmp_path / "mmad", content, write=lambda p, n: random_image(Path(str(p).replace("Train", "train")), n)
    )
    manifest = dataset("mmad", **PARTIAL).manifest(root.parent)
    assert manifest.test[0].questions is not None
    assert manifest.test[0].questions.templates == (other, "VisA/pcb1/train/good/000.png")
    assert [s.id for s in manifest.train] == ["VisA/pcb1/train/good/000.png"]


def test_what_is_no_good_image_is_no_template(tmp_path: Path) -> None:
    """Neither a defective image, asked about or not, nor the image itself is shown as one without defects."""
    image, bad, good = (f"VisA/pcb1/{name}" for name in ("test/good/0000.JPG", "test/bad/0000.JPG", "train/good/0.JPG"))
    content: dict[str, dict[str, Any]] = {
        image: {
            "conversation": [detection("No.")],
            "random_templates": [image, bad, "VisA/pcb1/train/bad/9.JPG", good, good, 7, ["x"]],
        },
        bad: {"conversation": [detection("Yes.")], "random_templates": "none"},
    }
    root = mmad_tree(tmp_path / "mmad", {name: {} for name in (*content, good)})
    (root / "mmad.json").write_text(json.dumps(content))
    manifest = dataset("mmad", **PARTIAL).manifest(root.parent)
    assert manifest.test[0].questions is not None and manifest.test[1].questions is not None
    assert manifest.test[0].questions.templates == (good,) and manifest.test[1].questions.templates == ()
    assert [s.id for s in manifest.train] == [good]
    assert "2 templates are never shown: in no folder 'good'" in manifest.notes
    assert "1 template is never shown: the image itself" in manifest.notes


@pytest.mark.parametrize(
    ("text", "said"),
    [("Yes.", True), ("no", False), ("No, it is fine", False), ("Normal", None), ("", None), (" YES", True)],
)
def test_what_an_option_says(text: str, said: bool | None) -> None:
    assert says_defective(text) is said

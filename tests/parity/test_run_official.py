"""Our side of ``run_official.py``, which no checkout is needed for, and the table of many runs."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.data.images import load_image
from tests.parity import run_official
from tests.parity.official import arguments, cases, summary
from tests.parity.official.found import Found


def checkout_of(method: str, folder: Path) -> Path:
    """Write empty files where those of the official repository are looked for."""
    for name in arguments.REPOSITORIES[method][1]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["saa", "."], "invalid choice: 'saa'"),
        (["saa_plus", "{tmp}/none"], "no such folder"),
        (["saa_plus", "{tmp}"], "is no checkout of caoyunkang/Segment-Any-Anomaly, branch SAA-plus: it has no SAA/"),
        (["winclip", "{sdp}", "--shots", "-1"], "--shots -1: at least 0"),
        (["sdp", "{sdp}", "--shots", "1"], "--shots is for winclip"),
        (["clipseg", "{sdp}"], "give --clip_surgery, a checkout of xmed-lab/CLIP_Surgery"),
        (["clipseg", "{tmp}", "--clip_surgery", "{sdp}"], "is no checkout of timojl/clipseg"),
        (["sdp", "{sdp}", "--keep", "{tmp}/none/kept"], "give a file in a folder that exists"),
        (["sdp", "{sdp}", "--odd", "--images", "."], "leave out --images"),
        (["iap_as", "{sdp}", "--input", "200", "96"], "the short side, then the longest"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"tmp": tmp_path, "sdp": checkout_of("sdp", tmp_path / "sdp")}
    with pytest.raises(SystemExit) as stop:
        arguments.read(None, [word.format(**places) for word in words])
    assert stop.value.code == 2 and told in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("none.yaml", None, "no such file of prompts"),
        ("a.txt", b"", "give a list of prompts"),
        ("a.txt", b"\xff\xfe\x00", "cannot be read"),
        ("a.yaml", b"[{text: a", "cannot be read"),
        ("a.yaml", b"text: crack", "give a list of prompts"),
        ("a.yaml", b"- {objects: 2}", "give a text, or a mapping of text, drop, object, objects"),
        ("a.yaml", b"- {text: a, objects: many}", "give a text, or a mapping"),
        ("a.yaml", b"- {text: a, objets: 2}", "give a text, or a mapping"),
        ("a.yaml", b"- no", "text is no text; numbers, yes and no take quotes"),
        ("a.yaml", b"- null", "is no text"),
        ("a.yaml", b"- [a, b]", "is no text"),
    ],
)
def test_odd_files_of_prompts_are_refused_in_one_line(
    name: str, content: bytes | None, told: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SystemExit, match=told) as stop:
        cases.asked("saa_plus", tmp_path / name)
    assert "\n" not in str(stop.value)


@pytest.mark.parametrize("tags", ["", "metal | ", "metal |  | wood", "metal|wood", " metal", "steel  plate"])
def test_tags_that_ram_does_not_write_are_refused(tags: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(json.dumps([{"tags": tags}]))
    with pytest.raises(SystemExit, match="write tags as RAM does"):
        cases.asked("iap_as", tmp_path / "a.yaml")
    (tmp_path / "a.txt").write_text("a.b | c. | .. | [SEP]")
    assert cases.asked("iap_as", tmp_path / "a.txt")[0]["answer"] == cases.ANSWERS[0]


def test_given_images_are_read_or_refused_and_never_drawn(tmp_path: Path) -> None:
    def given(name: str) -> list[Path]:
        return cases.images_of([str(tmp_path / name)], tmp_path / "drawn", number=1, seed=0)

    with pytest.raises(SystemExit, match=r"no image lies in .* itself"):
        given("")
    with pytest.raises(SystemExit, match="no such image"):
        given("none.png")
    (tmp_path / "broken.png").write_text("no image")
    with pytest.raises(SystemExit, match="cannot be read as an image"):
        given("broken.png")
    assert not (tmp_path / "drawn").exists()


def test_a_side_that_ends_in_an_error_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(*_: Any) -> list[Found]:
        raise ModuleNotFoundError("No module named 'timm'")

    monkeypatch.setattr(run_official, "_answers", answers)
    (tmp_path / "spec.json").write_text(json.dumps({"traceback": False}))
    with pytest.raises(SystemExit) as stop:
        run_official.carry_out("official", tmp_path)
    first, place = str(stop.value).split(" (")
    assert first == "official side: ModuleNotFoundError: No module named 'timm'" and "test_run_official.py:" in place


def test_every_method_has_both_sides_and_a_repository() -> None:
    assert run_official.METHODS.keys() == arguments.REPOSITORIES.keys()
    for method, sides in run_official.METHODS.items():
        assert all(hasattr(importlib.import_module(f"tests.parity.official.{side}"), method) for side in sides)


@pytest.mark.slow
@pytest.mark.parametrize("method", run_official.METHODS)
def test_our_side_answers_a_drawn_image(method: str, tmp_path: Path) -> None:
    images = cases.images_of([], tmp_path / "images", number=2, seed=0)
    asked = run_official.make_cases(method, images, cases.asked(method, None), shots=1)[:1]
    run_official.write_weights(method, tmp_path, "tiny", seed=0)
    spec: dict[str, Any] = {"size": "tiny", "kernels": None, "groundingdino": None, "cases": asked}
    spec |= {"grid": run_official.GRID["tiny"], "between": 64, "input": [64, 100]}
    ours = importlib.import_module(f"tests.parity.official.{run_official.METHODS[method][1]}")
    (found,) = getattr(ours, method)(tmp_path, spec, [Found(threshold=0.2)])
    drawn = found.map if found.map is not None else found.mask
    assert found.stopped is None and drawn is not None and drawn.shape == cases.SHAPES[0]


def test_odd_files_are_what_they_are_called(tmp_path: Path) -> None:
    files = cases.odd(tmp_path / "odd")
    found = []
    for file in files:
        with Image.open(file) as image:
            found.append((image.size, image.mode))
    assert found[0] == ((1, 200), "RGB") and found[3] == ((1, 1), "RGB") and found[7] == ((47, 61), "CMYK")
    assert {mode for _, mode in found} == {"RGB", "RGBA", "L", "P", "CMYK", "LA", "1"}
    assert [load_image(file).shape[1::-1] for file in files] == [size for size, _ in found]
    assert len(files) == len(cases.ODD) == len(cases.odd_asked("saa_plus")) == len(cases.odd_asked("winclip"))


def row(**values: Any) -> dict[str, Any]:
    return {"note": "", "known": ""} | values


def test_runs_of_a_kind_are_one_row_of_the_table(tmp_path: Path) -> None:
    rows = [
        row(scores=1e-7, map=2e-7, beyond=0, mask=0),
        row(scores=3e-3, map=0.1, beyond=9, mask=4, known="16-bit"),
        row(map=3e-3, beyond=1, mask=2),
        row(note=f"{summary.STOPS}: ValueError"),
    ]
    assert summary.summary(rows)["equal"] == 1 and summary.summary(rows)["compared"] == 2
    for seed, scores in ((3, 1e-7), (4, 2e-6)):
        rows[0]["scores"] = scores
        summary.keep(tmp_path / "runs", summary.summary(rows, label="`x`", size="tiny", seed=seed))
    head, rule, line, _, told = summary.table(tmp_path / "runs").splitlines()
    assert head == summary.HEAD and rule.count("---") == head.count(" | ") + 1
    assert line == (
        "| `x` | tiny | 3, 4 | 8 | 2 of 4 | 2.0e-06 | 3.0e-03 | 4 | 2 16-bit; the official code stops on 2 |"
    )
    assert f"numpy {np.__version__}" in told


def test_a_run_is_named_by_what_was_asked(tmp_path: Path) -> None:
    options = arguments.read(None, ["saa_plus", str(checkout_of("saa_plus", tmp_path)), "--size", "full"])
    assert run_official.label_of(options, [{"number": 2}]).endswith("several objects, compared at 1024 pixels")
    assert run_official.label_of(options, [{"number": 1}]) == "`saa_plus`"

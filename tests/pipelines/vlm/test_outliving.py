"""Answers outlive libraries and versions: ``answers_of_before.jsonl`` was written before places were asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.chat.answers import AnswerStore, Record
from benchmark.chat.exchange import import_answers
from benchmark.chat.form import Form
from benchmark.chat.providers.hf_local import LocalModel, LocalSettings
from benchmark.chat.question import digest
from benchmark.config.schema import build
from benchmark.core.samples import Prediction
from benchmark.data import align
from benchmark.pipelines.vlm import prepare
from benchmark.running.recording import identity, options_of
from tests.harness import compose
from tests.pipelines.vlm.servers import Fake, failed, label, said, serving
from tests.pipelines.vlm.shifted import ALIGNED, shifted
from tests.pipelines.vlm.test_batches import BATCH
from tests.pipelines.vlm.toys import context, pipeline, predict

BEFORE = Path(__file__).with_name("answers_of_before.jsonl")
RECORDS = [Record.model_validate(json.loads(line)["record"]) for line in BEFORE.read_text().splitlines()]
RESULTS = {
    "gemini": "22d6f6448899171c3deb95a570852529c02636b1cb025b5f2d1c77e38eafee54",
    "gemini_2_5_pro": "a86a2515305a58949607f114a786b8e7b17d3c116e4c4a28e8a1ae1dde78c9a2",
    "vlm_endpoint": "ab16141b72e7d77f0677dd5d69294c7cc4376db5371ca534dbdb5a228c967dd0",
    "vlm_local": "cf8b4a4ea94b5ec51afe41ea4795cd18f0642fdc368b87789969ca71aea6ccad",
}
"""Digest of what a result says of the settings of a pipeline that asks for labels."""


def ask(folder: Path, name: str, *overrides: str) -> tuple[list[Prediction], Fake]:
    test, train = shifted(folder / "images")
    with serving(lambda i, n: failed(400, "not accepted") if name == "vlm_endpoint" else label("OK")) as fake:
        given = (f"pipeline.provider.access.base_url={fake.url}", *ALIGNED, *overrides)
        return predict(pipeline(folder, *given, name=name), context(folder, test, train=train)), fake


def old_store(folder: Path) -> Path:
    assert import_answers(AnswerStore(folder / "answers"), BEFORE).new == len(RECORDS)
    return folder


def warp_otherwise(monkeypatch: pytest.MonkeyPatch, *, level: int = 1, shift: float = 0.0) -> None:
    """As another OpenCV would: grey levels of warped images differ, or the warp itself."""
    usual = align.warp

    def warp(image: Any, matrix: Any) -> Any:
        warped, valid = usual(image, matrix)
        return np.where(warped < 255, warped + np.uint8(level), warped).astype(np.uint8), valid

    enlarged = align._enlarged
    monkeypatch.setattr(align, "warp", warp)
    monkeypatch.setattr(align, "_enlarged", lambda m, s: enlarged(m, s) + np.float32([[0, 0, shift], [0, 0, 0]]))


@pytest.mark.parametrize("mode", ["as it was", "other pixels", "replay", "batch"])
def test_answers_of_before_are_found_whatever_the_library_makes_of_the_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    if mode != "as it was":
        warp_otherwise(monkeypatch)
    more = {"replay": ("pipeline.answers.mode=replay",), "batch": BATCH}.get(mode, ())
    predictions, fake = ask(old_store(tmp_path), "gemini", *more)
    assert [p.rationale for p in predictions] == ["a scratch"] * 2 and fake.log == [] and fake.batches == {}


def test_a_miss_of_before_is_asked_again_and_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warp_otherwise(monkeypatch)
    predictions, fake = ask(old_store(tmp_path), "vlm_endpoint", "pipeline.answers.mode=replay")
    assert [p.outcome for p in predictions] == ["ok", "failed"] and fake.log == []
    predictions, fake = ask(tmp_path, "vlm_endpoint")
    assert [p.outcome for p in predictions] == ["ok", "failed"] and len(fake.log) == 1


def test_a_dry_run_counts_what_another_library_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmark.core.errors import DryRun

    warp_otherwise(monkeypatch)
    with pytest.raises(DryRun, match=r"2 answers are stored, 0 questions"):
        ask(old_store(tmp_path), "gemini", "pipeline.dry_run=true")


def test_a_refresh_leaves_one_answer_of_each_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warp_otherwise(monkeypatch)
    predictions, fake = ask(old_store(tmp_path), "gemini", "pipeline.answers.mode=refresh")
    assert [p.label for p in predictions] == [False, False] and len(fake.log) == 2
    replayed, _ = ask(tmp_path, "gemini", "pipeline.answers.mode=replay")
    assert replayed == predictions
    assert len(list((tmp_path / "answers").rglob("*.superseded"))) == 2


def test_another_warp_is_another_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown differs by pixels, and not by how a library rounds."""
    predictions, fake = ask(tmp_path, "gemini")
    assert len(fake.log) == 2
    warp_otherwise(monkeypatch, shift=0.4)
    again, fake = ask(tmp_path, "gemini")
    assert again == predictions and fake.log == []
    warp_otherwise(monkeypatch, shift=5.0)
    _, fake = ask(tmp_path, "gemini")
    assert len(fake.log) == 2


def test_places_are_drawn_by_the_warp_that_was_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps({"reasoning": "", "defects": [{"kind": "dent", "box_2d": [500, 300, 650, 500]}], "label": "NOK"})
    test, train = shifted(tmp_path / "images")
    with serving(lambda i, n: said(text)) as fake:
        given = (f"pipeline.provider.access.base_url={fake.url}", *ALIGNED, "pipeline.answer=boxes")
        first = predict(pipeline(tmp_path, *given), context(tmp_path, test, train=train))
        warp_otherwise(monkeypatch, shift=0.4)
        again = predict(pipeline(tmp_path, *given), context(tmp_path, test, train=train))
    assert len(fake.log) == 2
    for one, other in zip(first, again, strict=True):
        assert one.mask is not None and other.mask is not None and np.array_equal(one.mask, other.mask)
    middles = [np.argwhere(p.mask).mean(axis=0) for p in first]  # of the same box, in two images shifted otherwise
    assert middles[0] - middles[1] == pytest.approx([1.25 - 3.0, 2.5 + 1.75], abs=0.75)


def test_what_is_sent_and_what_a_result_says_of_labels_has_not_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    test, train = shifted(tmp_path / "images")
    for name in ("gemini", "vlm_endpoint"):
        with serving(lambda i, n: failed(400, "not accepted")) as fake:
            given = (f"pipeline.provider.access.base_url={fake.url}", *ALIGNED)
            predict(pipeline(tmp_path / name, *given, name=name), context(tmp_path, test, train=train))
        made = {r.recipe: r for r in AnswerStore(tmp_path / name / "answers").records("misses")}
        before = [
            r for r in RECORDS if r.request["provider"] in ("google" if name == "gemini" else "openai_compatible")
        ]
        assert {r.recipe for r in before} == set(made)
        for old in before:
            new = made[old.recipe].request
            assert [p.get("text") for p in new["parts"]] == [p.get("text") for p in old.request["parts"]]
            assert {**new, "parts": []} == {**old.request, "parts": []}
    for name, pinned in RESULTS.items():
        composed, choices = compose("dataset=sat", f"pipeline={name}", "run.results_root=r")
        config = build(composed, choices)
        assert digest(identity(config, composed, "sat")["pipeline"]) == pinned, name
        assert [group for group in options_of(config) if "@" in group] == ["provider@pipeline.provider"]


def test_a_local_model_is_asked_as_before(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    settings = pipeline(tmp_path, f"pipeline.provider.access.path={tmp_path}", name="vlm_local").provider
    assert isinstance(settings, LocalSettings)
    model = LocalModel(settings, form=Form(order="reasoning_first"), context=context(tmp_path, ()))
    assert model.facts() == {
        "provider": "hf_local", "model": "local", "precision": "fp32", "sampling": {}, "max_output_tokens": 512,
        "files": "c5fe5918df6216e4c53b7ff7f6e9c2ef67a1ea39a625fe3f19af43ad6afd54b1",
        "instruction": 'Answer with one JSON object and nothing else: {"reasoning": "…", "label": "OK" or "NOK"}. The '
        "label is NOK if the image contains an anomaly or defect, OK if it contains none.",
    }  # fmt: skip
    assert prepare.VERSION == 1

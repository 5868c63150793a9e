"""A reply of an odd shape is one row, asked for once; one bad question does not keep the others from being asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmark.chat.answers import AnswerStore
from benchmark.core.errors import BenchmarkError
from benchmark.core.samples import Prediction
from tests.pipelines.vlm.servers import Fake, Reply, Script, failed, label, said, serving
from tests.pipelines.vlm.test_batches import BATCH
from tests.pipelines.vlm.test_endpoint import MODEL, NOK, chat
from tests.pipelines.vlm.toys import context, images, pipeline, predict, sent_sha256

ANSWER = '{"reasoning": "a dent", "label": "NOK"}'


def run(folder: Path, name: str, script: Script, *overrides: str, n: int = 1) -> tuple[list[Prediction], Fake]:
    version = "/v1" if name == "vlm_endpoint" else ""
    with serving(script) as fake:
        chosen = pipeline(folder, f"pipeline.provider.access.base_url={fake.url}{version}", *overrides, name=name)
        return predict(chosen, context(folder, images(folder / "images", n))), fake


def body(**changes: Any) -> Reply:
    usage = {"prompt_tokens": 500, "completion_tokens": 30}
    choice = {"message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
    return Reply({"id": "c", "model": MODEL, "choices": [choice], "usage": usage} | changes)


KEPT: dict[str, tuple[str, Reply, str]] = {
    "parts": ("vlm_endpoint", chat([{"type": "text", "text": ANSWER}]), "ok"),  # type: ignore[arg-type]
    "cut emoji": ("vlm_endpoint", chat('{"reasoning": "good \ud83d", "label": "NOK"}'), "ok"),
    "numeric model": ("vlm_endpoint", body(model=7), "ok"),
    "no usage": ("vlm_endpoint", body(usage="none"), "ok"),
    "null choice that was billed": ("vlm_endpoint", body(choices=[None]), "invalid"),
    "deep text": ("vlm_endpoint", chat("[" * 3000 + "]" * 3000), "invalid"),
    "deep reply": ("vlm_endpoint", Reply(b'{"choices": ' + b"[" * 3000 + b"]" * 3000 + b"}"), "invalid"),
    "no UTF-8": ("vlm_endpoint", Reply(json.dumps(body().body).replace("a dent", "a d\xe9nt").encode("latin-1")), "ok"),
    "Gemini cut emoji": ("gemini", said('{"reasoning": "good \ud83d", "label": "NOK"}'), "ok"),
    "Gemini deep text": ("gemini", said("[" * 3000 + "]" * 3000), "invalid"),
    "Gemini list": ("gemini", Reply({"candidates": [[]], "usageMetadata": {"candidatesTokenCount": 4}}), "invalid"),
    "Gemini number": ("gemini", said(ANSWER, model=3), "ok"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("name", "reply", "outcome"), KEPT.values(), ids=KEPT)
def test_a_reply_of_an_odd_shape_is_a_row_and_is_asked_for_once(
    tmp_path: Path, name: str, reply: Reply, outcome: str
) -> None:
    (prediction,), fake = run(tmp_path, name, lambda image, number: reply)
    assert prediction.outcome == outcome and prediction.label is (True if outcome == "ok" else None)
    assert len(fake.log) == 1
    (record,) = AnswerStore(tmp_path / "answers").records()
    assert record.body is not None and record.body.encode()
    again, fake = run(tmp_path, name, lambda image, number: NOK)
    assert again == [prediction] and fake.log == []
    replayed, _ = run(tmp_path, name, lambda image, number: NOK, "pipeline.answers.mode=replay")
    assert replayed == [prediction]


NO_ANSWER: dict[str, tuple[str, Reply]] = {
    "empty body": ("gemini", Reply(b"")),
    "null": ("gemini", Reply(None)),
    "empty object": ("gemini", Reply({})),
    "STOP without anything": ("gemini", Reply({"candidates": [{"finishReason": "STOP"}], "usageMetadata": {}})),
    "cut off": ("gemini", failed(499)),
    "endpoint, empty body": ("vlm_endpoint", Reply(b"")),
    "endpoint, null choice": ("vlm_endpoint", Reply({"choices": [None], "model": MODEL})),
    "endpoint, a page": ("vlm_endpoint", Reply(b"<html>")),
    "endpoint, cut off": ("vlm_endpoint", Reply({"error": {"message": "gone"}}, status=499)),
}


@pytest.mark.parametrize(("name", "reply"), NO_ANSWER.values(), ids=NO_ANSWER)
def test_no_answer_is_asked_again_within_the_attempts_and_in_the_next_run(
    tmp_path: Path, name: str, reply: Reply
) -> None:
    good = label("NOK") if name == "gemini" else NOK
    (prediction,), fake = run(tmp_path / "a", name, lambda image, number: reply if number < 3 else good)
    assert prediction.label is True and len(fake.log) == 3
    (prediction,), fake = run(tmp_path / "b", name, lambda image, number: reply, "pipeline.calls.attempts=2")
    assert prediction.outcome == "failed" and len(fake.log) == 2
    assert list(AnswerStore(tmp_path / "b" / "answers").records()) == []
    (prediction,), fake = run(tmp_path / "b", name, lambda image, number: good)
    assert prediction.label is True and len(fake.log) == 1


@pytest.mark.parametrize("name", ["gemini", "vlm_endpoint"])
def test_what_earlier_versions_kept_is_read_again(tmp_path: Path, name: str) -> None:
    """As it lay on disk: the reply in the field ``response``, and what had crashed the parser."""
    good = label("NOK") if name == "gemini" else NOK
    run(tmp_path, name, lambda image, number: good)
    store = AnswerStore(tmp_path / "answers")
    (record,) = store.records()
    values: dict[str, Any] = json.loads(str(record.body))
    old = record.model_copy(update={"body": None, "response": values}).sealed()
    assert '"body"' not in json.dumps(json.loads(old.model_dump_json(exclude={"body"})))
    assert old.whole()
    store.put(old, "answers")
    path = next((tmp_path / "answers" / "answers").rglob("*.json"))
    written = json.loads(path.read_text())
    del written["body"]  # as a file of an earlier version
    path.write_text(json.dumps(written))
    (prediction,), fake = run(tmp_path, name, lambda image, number: failed(500))
    assert prediction.label is True and fake.log == []
    store.put(record.model_copy(update={"failure": "the reply could not be read"}), "misses")
    path.unlink()
    (prediction,), fake = run(tmp_path, name, lambda image, number: failed(500), "pipeline.answers.mode=replay")
    assert prediction.label is True and fake.log == []
    (prediction,), fake = run(tmp_path, name, lambda image, number: failed(500))
    assert prediction.label is True and fake.log == []


def bad_reply(name: str, kind: str) -> Reply:
    if kind == "dropped":
        return Reply(drop=True)
    if name == "gemini":
        return failed(int(kind), "this image is not accepted")
    return Reply({"error": {"message": "this image is not accepted"}}, status=int(kind))


@pytest.mark.parametrize("name", ["gemini", "vlm_endpoint"])
@pytest.mark.parametrize("kind", ["400", "413", "422", "dropped"])
@pytest.mark.parametrize("which", [(0,), (2,), (0, 1)])
def test_a_bad_question_is_one_failed_row_wherever_it_stands(
    tmp_path: Path, name: str, kind: str, which: tuple[int, ...]
) -> None:
    bad = {sent_sha256(s) for i, s in enumerate(images(tmp_path / "images", 4)) if i in which}
    good = label("OK") if name == "gemini" else chat('{"reasoning": "", "label": "OK"}')

    def script(image: str, number: int) -> Reply:
        return bad_reply(name, kind) if image in bad else good

    wanted = ["failed" if i in which else "ok" for i in range(4)]
    predictions, _ = run(tmp_path, name, script, "pipeline.calls.attempts=2", n=4)
    assert [p.outcome for p in predictions] == wanted
    again, fake = run(tmp_path, name, script, "pipeline.calls.attempts=2", n=4)
    assert [p.outcome for p in again] == wanted and {c.image for c in fake.log} == bad


def test_a_configuration_that_no_question_passes_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"4 questions in a row failed, the last one with: 400"):
        run(
            tmp_path,
            "gemini",
            lambda image, number: failed(400, "no such field"),
            "pipeline.calls.give_up_after=4",
            n=9,
        )


def test_a_bad_line_of_a_batch_is_one_row(tmp_path: Path) -> None:
    samples = images(tmp_path / "images", 6)
    sent = {sent_sha256(s): i for i, s in enumerate(samples)}
    replies = [
        label("NOK", "torn at\u2028 a separator"),
        said("[" * 3000 + "]" * 3000),
        said('{"reasoning": "\ud83d", "label": "NOK"}'),
        Reply({}),
        Reply([]),
        label("OK"),
    ]
    predictions, fake = run(tmp_path, "gemini", lambda image, number: replies[sent[image]], *BATCH, n=6)
    assert [p.outcome for p in predictions] == ["ok", "invalid", "ok", "failed", "failed", "ok"]
    again, fake = run(tmp_path, "gemini", lambda image, number: label("NOK"), *BATCH, n=6)
    assert [p.outcome for p in again] == ["ok", "invalid", "ok", "ok", "ok", "ok"]
    assert sorted(c.image for c in fake.log) == sorted(name for name, i in sent.items() if i in (3, 4))

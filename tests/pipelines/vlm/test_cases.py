"""Every way in which a call can end, through the real SDK against a local server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmark.chat.answers import AnswerStore
from benchmark.core.errors import BenchmarkError, ConfigError, DataError, DryRun
from benchmark.core.samples import Prediction
from tests import harness
from tests.pipelines.vlm.servers import MODEL, Fake, Reply, Script, failed, label, said, serving
from tests.pipelines.vlm.toys import KEY, context, everything_below, images, pipeline, predict, sent_sha256

DRAWS = "pipeline.draws=3"


def first(*replies: Reply) -> Script:
    """A script of one reply after the other for each image, the last one again and again."""
    return lambda image, number: replies[min(number, len(replies)) - 1]


def run(folder: Path, script: Script, *overrides: str, n: int = 1) -> tuple[list[Prediction], Fake]:
    """Ask about ``n`` images."""
    with serving(script) as fake:
        chosen = pipeline(folder, f"pipeline.provider.access.base_url={fake.url}", *overrides)
        return predict(chosen, context(folder, images(folder / "images", n))), fake


@pytest.mark.parametrize(("answer", "defective"), [("OK", False), ("NOK", True)])
def test_a_label_with_its_reasoning(tmp_path: Path, answer: str, defective: bool) -> None:
    (prediction,), fake = run(tmp_path, first(label(answer, "a scratch")))
    assert prediction.outcome == "ok" and prediction.label is defective and prediction.rationale == "a scratch"
    assert prediction.image_score == float(defective)
    assert prediction.extra["prompt_tokens"] == 700 and prediction.extra["output_tokens"] == 100
    assert prediction.extra["cost_usd"] == pytest.approx((700 * 0.75 + 100 * 3.75) / 1e6, rel=1.01)
    assert [c.path for c in fake.log] == [f"/v1/models/{MODEL}:generateContent"]


INVALID = {
    "bad enum": (said('{"reasoning": "x", "label": "DEFECT"}'), "bad_label"),
    "no reasoning": (said('{"label": "NOK"}'), "bad_label"),
    "truncated JSON": (said('{"reasoning": "x", "la', finish="MAX_TOKENS"), "truncated"),
    "MAX_TOKENS empty": (said(None, finish="MAX_TOKENS"), "truncated"),
    "malformed JSON": (said("{reasoning: x}"), "not_json"),
    "unknown finish reason": (said(None, finish="A_REASON_OF_NEXT_YEAR"), "empty"),
}


@pytest.mark.parametrize(("reply", "status"), INVALID.values(), ids=INVALID)
def test_an_invalid_answer_is_a_row_and_is_not_asked_again(tmp_path: Path, reply: Reply, status: str) -> None:
    (prediction,), _ = run(tmp_path, first(reply))
    assert prediction.outcome == "invalid" and prediction.extra["answer"] == status and prediction.message
    assert prediction.label is None and prediction.image_score is None
    again, fake = run(tmp_path, first(label("OK")))
    assert again == [prediction] and fake.log == []


VALID = {
    "fenced": (said('```json\n{"reasoning": "x", "label": "NOK"}\n```'), "fenced"),
    "among words": (said('I think: {"reasoning": "a {brace}", "label": "NOK"} so'), "embedded"),
    "thought parts are no text": (
        said('{"reasoning": "x", "label": "NOK"}', thought='{"reasoning": "no", "label": "OK"}'),
        "json",
    ),
    "unknown finish reason with an answer": (said('{"reasoning": "x", "label": "NOK"}', finish="NEW_REASON"), "json"),
}


@pytest.mark.parametrize(("reply", "status"), VALID.values(), ids=VALID)
def test_a_valid_answer_is_found(tmp_path: Path, reply: Reply, status: str) -> None:
    (prediction,), _ = run(tmp_path, first(reply))
    assert prediction.outcome == "ok" and prediction.label is True and prediction.extra["answer"] == status


BLOCKED = {
    "prompt": Reply({"promptFeedback": {"blockReason": "SAFETY"}, "modelVersion": MODEL, "usageMetadata": {}}),
    "answer": said(None, finish="PROHIBITED_CONTENT"),
}


@pytest.mark.parametrize("reply", BLOCKED.values(), ids=BLOCKED)
def test_a_blocked_call_is_a_row_that_is_asked_again_and_can_be_replayed(tmp_path: Path, reply: Reply) -> None:
    (prediction,), _ = run(tmp_path, first(reply))
    assert prediction.outcome == "blocked" and "blocked" in str(prediction.message)
    assert list(AnswerStore(tmp_path / "answers").records("answers")) == []
    replayed, fake = run(tmp_path, first(label("OK")), "pipeline.answers.mode=replay")
    assert replayed == [prediction] and fake.log == []
    (answered,), fake = run(tmp_path, first(label("OK")))
    assert answered.outcome == "ok" and len(fake.log) == 1
    assert list(AnswerStore(tmp_path / "answers").records("misses")) == []


def test_the_delay_that_the_server_asks_for_is_kept(tmp_path: Path) -> None:
    (prediction,), fake = run(tmp_path, first(failed(429, retry=0.3), label("NOK")))
    assert prediction.label is True and [c.status for c in fake.log] == [429, 200]
    assert fake.log[1].time - fake.log[0].time >= 0.3


def test_a_daily_quota_stops_and_the_next_day_goes_on(tmp_path: Path) -> None:
    seen: list[str] = []

    def script(image: str, number: int) -> Reply:
        seen.append(image)
        return label("OK") if len(seen) <= 3 else failed(429, quota="GenerateRequestsPerDayPerProjectPerModel")

    with pytest.raises(BenchmarkError, match=r"quota is used up.*the same command goes on"):
        run(tmp_path, script, "pipeline.calls.max_concurrency=2", n=12)
    assert len(seen) <= 6  # no attempt is repeated, and threads stop at their next one
    predictions, fake = run(tmp_path, first(label("OK")), n=12)
    assert [p.outcome for p in predictions] == ["ok"] * 12 and len(fake.log) == 9


def test_rpd_counts_over_restarts(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(BenchmarkError, match=r"3 requests of the day"):
            run(tmp_path, first(label("OK")), "pipeline.calls.rpd=3", n=5)
    assert len(list(AnswerStore(tmp_path / "answers").records())) == 3


def test_a_server_error_passes(tmp_path: Path) -> None:
    replies = (failed(503), Reply(drop=True), Reply(b"<html>not json</html>"), label("OK"))
    (prediction,), fake = run(tmp_path, first(*replies))
    assert prediction.outcome == "ok" and len(fake.log) == 4


def test_a_timeout_passes(tmp_path: Path) -> None:
    slow = Reply(label("OK").body, delay=0.6)
    (prediction,), fake = run(tmp_path, first(slow, label("NOK")), "pipeline.provider.access.timeout_s=0.3")
    assert prediction.label is True and len(fake.log) == 2


def test_a_call_that_fails_to_the_end_is_a_row_and_the_next_run_asks_again(tmp_path: Path) -> None:
    bad = [sent_sha256(s) for s in images(tmp_path / "images", 4)][2]

    def script(image: str, number: int) -> Reply:
        return failed(500, "broken") if image == bad else label("OK")

    predictions, fake = run(tmp_path, script, "pipeline.calls.attempts=3", n=4)
    assert [p.outcome for p in predictions] == ["ok", "ok", "failed", "ok"] and len(fake.log) == 6
    assert "500" in str(predictions[2].message) and "3 attempts" in str(predictions[2].message)
    replayed, _ = run(tmp_path, script, "pipeline.answers.mode=replay", n=4)
    assert replayed == predictions
    fixed, fake = run(tmp_path, first(label("OK")), n=4)
    assert [p.outcome for p in fixed] == ["ok"] * 4 and len(fake.log) == 1


def test_a_dead_service_ends_the_run(tmp_path: Path) -> None:
    answered: list[str] = []

    def script(image: str, number: int) -> Reply:
        answered.append(image)
        return label("OK") if len(answered) == 1 else failed(500)

    with pytest.raises(BenchmarkError, match="3 questions in a row failed"):
        run(tmp_path, script, "pipeline.calls.attempts=2", "pipeline.calls.give_up_after=3", n=40)
    assert len(answered) < 40


def test_connection_refused_is_one_clear_line(tmp_path: Path) -> None:
    chosen = pipeline(tmp_path, "pipeline.provider.access.base_url=http://127.0.0.1:9", "pipeline.calls.attempts=2")
    with pytest.raises(BenchmarkError, match=f"{MODEL} cannot be reached") as caught:
        predict(chosen, context(tmp_path, images(tmp_path / "images", 3)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "reply", [failed(401), failed(403), failed(404, "no such model"), failed(400, f"API key not valid: {KEY}")]
)
def test_a_wrong_key_or_model_costs_one_call(tmp_path: Path, reply: Reply) -> None:
    with serving(first(reply)) as fake:
        chosen = pipeline(tmp_path, f"pipeline.provider.access.base_url={fake.url}")
        with pytest.raises(ConfigError, match="cannot be asked") as caught:
            predict(chosen, context(tmp_path, images(tmp_path / "images", 9)))
    assert len(fake.log) == 1 and KEY not in str(caught.value)


def test_model_drift_is_refused_unless_allowed(tmp_path: Path) -> None:
    drifted = first(said('{"reasoning": "x", "label": "OK"}', model="gemini-4.0-flash"))
    with serving(drifted) as fake:
        chosen = pipeline(tmp_path, f"pipeline.provider.access.base_url={fake.url}")
        with pytest.raises(ConfigError, match=f"{MODEL} was asked, gemini-4.0-flash answered"):
            predict(chosen, context(tmp_path, images(tmp_path / "images", 5)))
    assert len(fake.log) == 1
    predictions, fake = run(tmp_path, drifted, "pipeline.allow_model_drift=true", n=5)
    assert len(fake.log) == 4  # the first answer was paid for and is used
    assert {p.extra["model_version"] for p in predictions} == {"gemini-4.0-flash"}


def test_a_replay_names_what_is_missing_and_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, _ = run(tmp_path, first(label("OK")), n=2)
    monkeypatch.delenv("GEMINI_API_KEY")
    where = context(tmp_path, images(tmp_path / "images", 2))
    assert predict(pipeline(tmp_path, "pipeline.answers.mode=replay"), where) == before
    with pytest.raises(DataError, match=r"for 2 of 4 images: 0002.png, 0003.png;"):
        predict(pipeline(tmp_path, "pipeline.answers.mode=replay"), context(tmp_path, images(tmp_path / "images", 4)))
    with pytest.raises(ConfigError, match=r"no key: set the environment variable GOOGLE_API_KEY or GEMINI_API_KEY"):
        predict(pipeline(tmp_path), context(tmp_path, images(tmp_path / "images", 4)))


def test_a_resumed_run_asks_the_rest_alone(tmp_path: Path) -> None:
    run(tmp_path, first(label("OK")), n=5)
    predictions, fake = run(tmp_path, first(label("NOK")), n=10)
    assert [p.label for p in predictions] == [False] * 5 + [True] * 5
    assert sorted(c.image for c in fake.log) == sorted(sent_sha256(s) for s in images(tmp_path / "images", 10)[5:])


def test_a_changed_prompt_setting_or_image_is_another_question(tmp_path: Path) -> None:
    run(tmp_path, first(label("OK")))
    for change in ("pipeline.prompt=refined", "pipeline.provider.thinking.level=LOW", "pipeline.image.max_side=null"):
        _, fake = run(tmp_path, first(label("OK")), change)
        assert len(fake.log) == (0 if "max_side" in change else 1), change  # a small image is sent as it was
    _, fake = run(tmp_path, first(label("OK")), "pipeline.calls.max_concurrency=3", "pipeline.calls.attempts=9")
    assert fake.log == []


def test_equal_images_are_asked_once_and_threads_share_a_key(tmp_path: Path) -> None:
    slow = Reply(label("OK").body, delay=0.2)
    with serving(first(label("OK"), slow)) as fake:
        chosen = pipeline(tmp_path, f"pipeline.provider.access.base_url={fake.url}")
        where = context(tmp_path, images(tmp_path / "images", 2))
        provider = chosen._provider(where)
        drafter = chosen._drafter(where, provider)
        with chosen._asker(where, provider) as asker:
            (_, drafts), (_, others) = drafter.all(where.images(), unusable=lambda sample, error: None)
            asker.submit(drafts[0]).result()
            with ThreadPoolExecutor(8) as threads:
                futures = list(threads.map(lambda _: asker.submit(others[0]), range(8)))
            keys = {f.result().key for f in futures}
    assert len(keys) == 1 and sorted(fake.billed.values()) == [1, 1]


def test_several_draws_are_a_majority_with_its_spread(tmp_path: Path) -> None:
    answers = {1: label("OK", "clean"), 2: label("NOK", "a scratch"), 3: label("NOK", "a cut")}
    (prediction,), fake = run(
        tmp_path, lambda image, number: answers[number], DRAWS, "pipeline.calls.max_concurrency=1"
    )
    assert prediction.label is True and prediction.image_score == pytest.approx(2 / 3) and len(fake.log) == 3
    assert prediction.rationale == "a scratch" and prediction.extra["votes"] == "OK NOK NOK"
    (tied,), _ = run(tmp_path / "b", first(label("OK"), label("NOK")), "pipeline.draws=2")
    assert tied.label is True  # a tie is a defect


def test_refresh_asks_anew_and_keeps_what_was_paid_for(tmp_path: Path) -> None:
    run(tmp_path, first(label("OK")), n=2)
    predictions, fake = run(tmp_path, first(label("NOK")), "pipeline.answers.mode=refresh", n=2)
    assert [p.label for p in predictions] == [True, True] and len(fake.log) == 2
    assert len(list((tmp_path / "answers").rglob("*.superseded"))) == 2


def test_the_budget_is_a_hard_stop_over_restarts(tmp_path: Path) -> None:
    limits = ("pipeline.budget_usd=0.04", "pipeline.calls.max_concurrency=4")
    for _ in range(2):  # a call costs 0.0009, and could cost 0.0326
        with pytest.raises(BenchmarkError, match=r"budget_usd=0.04"):
            run(tmp_path, first(label("OK")), *limits, n=20)
    paid = [r.cost_usd or 0 for r in AnswerStore(tmp_path / "answers").records()]
    assert 3 <= len(paid) <= 12 and sum(paid) <= 0.04
    with pytest.raises(ConfigError, match="needs a price"):
        run(tmp_path, first(label("OK")), "pipeline.budget_usd=1", "pipeline.pricing=null")


def test_a_dry_run_asks_nothing_and_says_what_it_would_cost(tmp_path: Path) -> None:
    run(tmp_path, first(label("OK")), n=1)
    with serving(first(label("OK"))) as fake:
        chosen = pipeline(tmp_path, f"pipeline.provider.access.base_url={fake.url}", "pipeline.dry_run=true")
        with pytest.raises(DryRun, match=r"1 answer is stored, 3 questions .* 2331 prompt tokens \(777 each, counted"):
            predict(chosen, context(tmp_path, images(tmp_path / "images", 4)))
    assert fake.log == []


def test_a_dry_run_tells_calls_and_questions_apart_where_each_is_asked_several_times(tmp_path: Path) -> None:
    run(tmp_path, first(label("OK")), n=1)  # its answer is the first draw
    chosen = pipeline(tmp_path, "pipeline.dry_run=true", "pipeline.draws=3")
    told = r"1 answer is stored, 5 calls of \S+ would be made, for 2 questions of up to 3 draws each: "
    with pytest.raises(DryRun, match=told):
        predict(chosen, context(tmp_path, images(tmp_path / "images", 2)))


def test_a_damaged_answer_is_set_aside_and_asked_again(tmp_path: Path) -> None:
    run(tmp_path, first(label("OK")), n=2)
    path, other = sorted((tmp_path / "answers" / "answers").rglob("*.json"))
    path.write_bytes(path.read_bytes()[:-40])
    other.write_text(other.read_text().replace('"OK', '"NOK').replace('\\"OK\\"', '\\"NOK\\"'))
    predictions, fake = run(tmp_path, first(label("OK")), n=2)
    assert [p.label for p in predictions] == [False, False] and len(fake.log) == 2
    assert len(list((tmp_path / "answers").rglob("*.damaged"))) == 2


def test_no_key_and_no_image_in_any_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    run(tmp_path, first(failed(500, f"bad key {KEY}"), label("OK", f"the key is {KEY}")), n=2)
    run(tmp_path, first(failed(500, f"bad key {KEY}")), "pipeline.prompt=refined", "pipeline.calls.attempts=1")
    found = [(path, content) for path, content in everything_below(tmp_path) if path.suffix != ".png"]
    assert len(found) >= 4
    assert not [path for path, content in found if KEY.encode() in content or b"iVBOR" in content]
    assert KEY not in caplog.text


def test_the_request_is_what_the_settings_say(tmp_path: Path) -> None:
    train = images(tmp_path / "train", 1, seed=5)
    from dataclasses import replace

    reference = replace(train[0], defective=False, split="train")
    with serving(first(label("OK"))) as fake:
        chosen = pipeline(
            tmp_path, f"pipeline.provider.access.base_url={fake.url}", "pipeline.reference.kind=per_category"
        )
        predict(chosen, context(tmp_path, images(tmp_path / "images", 1), train=(reference,)))
    (body,) = fake.bodies
    parts = body["contents"][0]["parts"]
    assert ["text" in p for p in parts] == [True, False, True, False, True]
    assert parts[0]["text"].startswith("Reference image") and parts[-1]["text"].startswith("Please determine whether")
    generation = body["generationConfig"]
    assert list(generation["responseJsonSchema"]["properties"]) == ["reasoning", "label"]
    assert generation["thinkingConfig"] == {"thinking_level": "MEDIUM"} and "temperature" not in generation
    assert {s["threshold"] for s in body["safetySettings"]} == {"BLOCK_NONE"}
    assert fake.log[0].key == KEY and KEY not in json.dumps(body)


def test_the_enterprise_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import google.auth
    from google.oauth2.credentials import Credentials

    monkeypatch.setattr(google.auth, "default", lambda **_: (Credentials(token="a-token"), "a-project"))
    monkeypatch.delenv("GEMINI_API_KEY")
    (prediction,), fake = run(
        tmp_path,
        first(label("NOK")),
        "pipeline.provider.backend=enterprise",
        "pipeline.provider.api_version=v1beta1",
    )
    assert prediction.label is True
    place = "/v1beta1/projects/a-project/locations/global/publishers/google/models/"
    assert fake.log[0].path == f"{place}{MODEL}:generateContent"


REFUSED: dict[str, Callable[[Path], object]] = {
    "temperature of a model that ignores it": lambda f: run(f, first(), "pipeline.provider.sampling.temperature=0.0"),
    "thinking level of 2.5": lambda f: run(f, first(), "pipeline.provider.model=gemini-2.5-pro"),
    "MINIMAL": lambda f: run(f, first(), "pipeline.provider.thinking.level=MINIMAL"),
    "alias": lambda f: run(f, first(), "pipeline.provider.model=gemini-flash-latest"),
    "custom without text": lambda f: run(f, first(), "pipeline.prompt=custom"),
    "alignment without reference": lambda f: run(f, first(), "pipeline.align.motion=euclidean"),
    "credentials in the address": lambda f: run(f, first(), "pipeline.provider.access.base_url='http://a:b@c'"),
    "reference behind the image": lambda f: run(f, first(), "pipeline.layout.order=[image,reference,prompt]"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_settings_that_do_not_go_together_are_refused_before_any_call(tmp_path: Path, case: str) -> None:
    with pytest.raises(ConfigError, match=r"pipeline\."):
        REFUSED[case](tmp_path)


def test_a_missing_reference_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'toy' has 0 good training images"):
        run(tmp_path, first(label("OK")), "pipeline.reference.kind=per_category")


def test_stopping_does_not_wait_for_a_long_delay(tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(BenchmarkError, match="asks to wait 900 s"):
        run(tmp_path, first(failed(429, retry=900)), n=3)
    assert time.monotonic() - begin < 60


def test_an_image_that_cannot_be_prepared_is_named_or_recorded(tmp_path: Path) -> None:
    from dataclasses import replace

    (other,) = images(tmp_path / "other", 1, side=20)
    samples = (*images(tmp_path / "images", 2), replace(other, id="other"))
    train = replace(images(tmp_path / "train", 1, seed=5)[0], defective=False, split="train")
    align = ("pipeline.reference.kind=per_category", "pipeline.align.motion=translation")
    with serving(first(label("OK"))) as fake:
        chosen = pipeline(tmp_path, f"pipeline.provider.access.base_url={fake.url}", *align)
        with pytest.raises(DataError, match="20x20"):
            predict(chosen, context(tmp_path, samples, train=(train,)))
        where = context(tmp_path, samples, train=(train,))
        where.on_error = "record"
        assert [s.id for s, _ in harness.predict(chosen, where)] == [s.id for s in samples[:2]]
        assert "20x20" in where.failed["other"]

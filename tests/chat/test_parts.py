"""Pure parts: verdicts, keys, prices, limits, votes, prompts."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.chat.access import Calls
from benchmark.chat.form import Form
from benchmark.chat.ledger import Ledger
from benchmark.chat.limits import Budget, Limiter, Stop
from benchmark.chat.pricing import Price, cost, load_prices
from benchmark.chat.profiles import profile_of
from benchmark.chat.question import Question, SentImage, digest
from benchmark.chat.secrets import api_key
from benchmark.chat.verdict import Reading, Usage, judge
from benchmark.config.prompt_files import FOLDER
from benchmark.core.errors import ConfigError
from benchmark.core.secrets import redact
from benchmark.pipelines.vlm import voting
from benchmark.pipelines.vlm.prompting import load_texts, text_for

LABEL = Form(order="reasoning_first")
CALLS = Calls(
    max_concurrency=4,
    attempts=3,
    first_delay_s=0.01,
    longest_delay_s=0.1,
    rpm=None,
    tpm=None,
    rpd=None,
    window_s=0.2,
    give_up_after=3,
)


@given(st.text(max_size=60), st.booleans())
def test_any_text_gets_a_verdict(text: str, truncated: bool) -> None:
    verdict = judge(Reading(text=text, truncated=truncated), LABEL)
    assert (verdict.label is not None) == (verdict.outcome == "ok")
    assert verdict.outcome in ("ok", "invalid") and (verdict.outcome == "ok" or verdict.message)


@given(st.text(max_size=40), st.sampled_from(["OK", "NOK"]), st.sampled_from(["{}", "```json\n{}\n```", "So: {} done"]))
def test_a_valid_answer_survives_its_wrapping(reason: str, label: str, wrapping: str) -> None:
    text = wrapping.replace("{}", json.dumps({"reasoning": reason, "label": label}))
    if "```" in reason:
        return
    verdict = judge(Reading(text=text), LABEL)
    assert (verdict.label, verdict.reasoning) == (label, reason)


@pytest.mark.parametrize("label", ["ok", "Nok", "", None, 1, ["OK"], "OK "])
def test_only_the_two_labels_are_taken(label: object) -> None:
    assert judge(Reading(text=json.dumps({"reasoning": "", "label": label})), LABEL).status == "bad_label"


def test_the_schema_keeps_its_order() -> None:
    assert LABEL.schema()["propertyOrdering"] == ["reasoning", "label"]
    assert Form(order="label_first").schema()["propertyOrdering"] == ["label", "reasoning"]


def test_a_key_depends_on_every_part_and_on_nothing_else() -> None:
    image = SentImage(b"png", "image/png")
    base = Question(parts=("a", image), draw=0)
    key = digest(base.facts({"model": "m"}))
    assert key == digest(Question(parts=("a", SentImage(b"png", "image/png")), draw=0).facts({"model": "m"}))
    others = [
        Question(parts=("b", image), draw=0),
        Question(parts=(image, "a"), draw=0),
        Question(parts=("a", SentImage(b"gnp", "image/png")), draw=0),
        Question(parts=("a", image), draw=1),
    ]
    keys = {digest(q.facts({"model": "m"})) for q in others} | {digest(base.facts({"model": "n"}))}
    assert len(keys) == 5 and key not in keys


def test_costs() -> None:
    price = Price(input=2.0, output=10.0, cached=0.2)
    usage = Usage(prompt=1_000_000, output=100_000, cached=500_000)
    assert cost(price, usage) == pytest.approx(1.0 + 0.1 + 1.0)
    assert cost(price, usage, factor=0.5) == pytest.approx(1.05)
    assert cost(None, usage) is None
    prices = load_prices("list_2026_11")
    assert prices is not None and prices.of("gemini-2.5-pro") is not None and prices.of("other") is None
    with pytest.raises(ConfigError, match="list_2026_11"):
        load_prices("list_2026_12")


def test_the_windows_slide(tmp_path: Path) -> None:
    limiter = Limiter(CALLS.model_copy(update={"rpm": 5}), Ledger(tmp_path / "l", job="j"))
    times: list[float] = []

    def ask() -> None:
        for _ in range(4):
            limiter.acquire(1)
            times.append(time.monotonic())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times.sort()
    assert len(times) == 16 and min(times[i + 5] - times[i] for i in range(11)) > 0.17


def test_tokens_are_limited_and_a_large_request_passes_alone(tmp_path: Path) -> None:
    limiter = Limiter(CALLS.model_copy(update={"tpm": 100}), Ledger(tmp_path / "l", job="j"))
    begin = time.monotonic()
    limiter.acquire(500)
    assert time.monotonic() - begin < 0.1
    limiter.acquire(60)
    assert time.monotonic() - begin > 0.2


def test_the_budget_waits_for_calls_under_way_and_never_oversteps(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l", job="j")
    budget = Budget(1.0, ledger)
    passed: list[float] = []

    def ask() -> None:
        while True:
            try:
                budget.reserve(0.3)
            except Stop:
                return
            passed.append(ledger.spent)
            budget.settle(0.3, 0.1)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.spent <= 1.0 + 1e-9 and len(passed) == 8
    assert Ledger(tmp_path / "l", job="j").spent == pytest.approx(ledger.spent)
    assert Ledger(tmp_path / "l", job="other").spent == 0


def test_a_torn_line_of_the_ledger_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "l"
    Ledger(path, job="j").note(attempts=1, usd=0.5)
    with path.open("a") as file:
        file.write('{"day": "2026')
    assert Ledger(path, job="j").spent == 0.5 and Ledger(path, job="j").attempts_today() == 1


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gemini-2.5-pro", "2.5"),
        ("gemini-3.1-pro-preview", "3"),
        ("gemini-3.5-flash", "3"),
        ("gemini-3.5-flash-lite", "3.6"),
        ("gemini-3.8-flash", "3.6"),
    ],
)
def test_profiles(model: str, name: str) -> None:
    assert profile_of(model, "auto").name == name


def test_an_unknown_model_needs_a_named_profile() -> None:
    with pytest.raises(ConfigError, match="fits no profile"):
        profile_of("other-1", "auto")
    assert profile_of("other-1", "3.6").name == "3.6"


def row(defective: bool, votes: str, **facts: object) -> dict[str, object]:
    valid = [v for v in votes.split() if v in ("OK", "NOK")]
    outcome = "ok" if valid else votes.split()[0]
    called = valid.count("NOK") * 2 >= len(valid) if valid else None
    costs = {"prompt_tokens": 10, "output_tokens": 5, "cost_usd": 0.5, "model_version": "m", "prompt_sha256": "p"}
    return {"defective": defective, "votes": votes, "outcome": outcome, "label": called, **costs, **facts}


def test_tables_show_what_invalid_answers_would_change() -> None:
    rows = [row(True, "NOK"), row(True, "invalid"), row(False, "OK"), row(False, "blocked"), row(False, "NOK")]
    tables = voting.tables(rows)
    (answers,) = tables["answers"]
    assert answers["invalid_rate"] == 0.2 and answers["blocked_rate"] == 0.2 and answers["prevalence"] == 0.4
    assert answers["cost_usd"] == 2.5 and answers["prompt_tokens"] == 50
    f2 = {r["invalid counts as"]: r["f2"] for r in tables["labels"]}
    assert f2["wrong"] == pytest.approx(5 / (5 + 4 + 2))  # TP 1, FN 1, FP 2
    assert f2["defective"] == pytest.approx(10 / (10 + 2))  # TP 2, FP 2
    assert f2["good"] == pytest.approx(5 / (5 + 4 + 1))  # TP 1, FN 1, FP 1
    assert f2["dropped"] == pytest.approx(5 / (5 + 1))  # TP 1, FP 1
    assert f2["(always defective)"] == pytest.approx(10 / 13)
    assert "draws" not in tables


def test_draws_have_a_mean_and_a_deviation() -> None:
    rows = [row(True, "NOK OK"), row(False, "OK OK"), row(True, "NOK NOK")]
    draws = {r["draw"]: r["f2"] for r in voting.tables(rows)["draws"]}
    one, two = 1.0, 5 / 9
    assert draws["1"] == one and draws["2"] == pytest.approx(two)
    assert draws["mean"] == pytest.approx((one + two) / 2) and draws["std"] == pytest.approx((one - two) / 2**0.5)


def test_the_papers_prompts_are_verbatim() -> None:
    texts = load_texts("gemini/{dataset}", dataset="mvtec")
    assert text_for(texts, "basic", custom=None, category="wood") == (
        "Please determine whether the image contains anomalies or defects. If yes, give a specific reason"
    )
    refined = text_for(texts, "refined", custom=None, category="wood")
    assert "the last image given about object" in refined and "broken/bented parts" in refined
    assert refined.endswith("oil or glue strips.")


@pytest.mark.parametrize("path", sorted((FOLDER / "gemini").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_prompt_file_is_valid(path: Path) -> None:
    texts = load_texts(f"gemini/{path.stem}", dataset="none")
    assert texts.refined or texts.refined_by_category


def test_missing_texts_are_named_with_near_ones() -> None:
    with pytest.raises(ConfigError, match=r"gemini/generic.*did you mean 'gemini/mvtec'"):
        load_texts("gemini/{dataset}", dataset="mvtek")
    products = load_texts("gemini/mvtec_by_product", dataset="mvtec")
    assert "weave" in text_for(products, "refined", custom=None, category="carpet")
    with pytest.raises(ConfigError, match="'tile'"):
        text_for(products, "refined", custom=None, category="tiles")
    assert text_for(products, "custom", custom="Is this {category} good?", category="tile") == "Is this tile good?"


def test_keys_are_scrubbed_from_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "quite-secret-1234")
    assert api_key("MY_KEY", fix="x") == "quite-secret-1234"
    assert redact("with quite-secret-1234 and key=abc") == "with *** and key=***"
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(ConfigError, match="MY_KEY"):
        api_key("MY_KEY", fix="x")

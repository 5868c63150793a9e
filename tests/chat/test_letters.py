"""Which option a text chooses: many ways to say it, and none for what says nothing."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.chat.letters import choose
from benchmark.chat.verdict import Reading

OPTIONS = {"A": "Yes.", "B": "No.", "C": "A long scratch.", "D": "Broken large"}
CASES: dict[str, tuple[str, str | None, str]] = {
    "a letter": ("B", "B", "letter"),
    "a small letter": ("b.", "B", "letter"),
    "in brackets": ("(B)", "B", "letter"),
    "in bold": ("**B**", "B", "letter"),
    "with its text": ("C. A long scratch.", "C", "letter"),
    "behind a bracket": ("C) because of the edge", "C", "letter"),
    "behind answer": ("Answer: D", "D", "letter"),
    "as MMAD's scripts ask": ("1. Answer: B.", "B", "letter"),
    "with is": ("The correct answer is C.", "C", "letter"),
    "in bold behind answer": ("After a look, the answer is **D**.", "D", "letter"),
    "in a box": ("\\boxed{B} so answer: \\boxed{B}", "B", "letter"),
    "the last one": ("Answer: A? No, it is clean. Final answer: B", "B", "letter"),
    "behind thinking": ("<think>Answer: A</think>B", "B", "letter"),
    "after reasons": ("There is a dent on the rim.\n\nAnswer: A", "A", "letter"),
    "option letter": ("I choose option D", "D", "letter"),
    "JSON": ('{"answer": "C"}', "C", "letter"),
    "fenced JSON": ('```json\n{"reason": "x", "choice": "D. Broken large"}\n```', "D", "letter"),
    "JSON with a list": ('{"answer": ["C"]}', "C", "letter"),
    "the text": ("yes", "A", "text"),
    "the text of another case": ("broken  LARGE.", "D", "text"),
    "one capital": ("It must be D because of the rim", "D", "letter"),
    "an article": ("A scratch runs over it, so D", "D", "letter"),
    "an article alone": ("A dent runs over the rim", None, "no_letter"),
    "the list repeated": ("A. Yes.\nB. No.\nC. A long scratch.", None, "several_letters"),
    "two letters": ("B or D", None, "several_letters"),
    "no option": ("E", None, "not_an_option"),
    "no option behind answer": ("Answer: F", None, "not_an_option"),
    "a refusal": ("I'm sorry, I cannot assist with that", None, "no_letter"),
    "nothing": (" \n", None, "empty"),
    "thinking without an end": ("<think>maybe B", None, "empty"),
    "other scripts": ("\u0411 \uff22 \u2167", None, "no_letter"),
    "half a character": ("\ud83d B \x00", "B", "letter"),
    "braces": ("{" * 5000 + "Answer: B", "B", "letter"),
    "two behind answer": ("Answer: A or B", None, "several_letters"),
    "two in a list behind answer": ("The answer is **A**/**D**.", None, "several_letters"),
    "two and no article": ("A and B", None, "several_letters"),
    "denied": ("The answer is not B.", None, "no_letter"),
    "denied shortly": ("it isn't A", None, "no_letter"),
    "one denied": ("D, not B", "D", "letter"),
    "an option spoken of behind the answer": ("The answer is B. Option D would show more.", "B", "letter"),
    "an article behind answer": ("The answer is A long scratch.", "C", "text"),
    "an A with a reason behind answer": ("Answer: A because it is bent", "A", "letter"),
    "I behind answer": ("Answer: I think it is D", "D", "letter"),
    "small behind answer": ("Answer: b", "B", "letter"),
    "small in brackets behind answer": ("the correct option is (b)", "B", "letter"),
    "JSON in JSON": ('{"answer": "{\\"answer\\": \\"B\\"}"}', None, "no_letter"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_text_chooses(case: str) -> None:
    text, letter, status = CASES[case]
    found = choose(Reading(text=text), OPTIONS)
    assert (found.letter, found.status) == (letter, status)
    assert found.choice == (letter or "invalid") and (found.message is None) == (letter is not None)


@pytest.mark.parametrize(
    ("reading", "letter", "status"),
    [
        (Reading(text=None), None, "empty"),
        (Reading(text=None, truncated=True), None, "truncated"),
        (Reading(text="The answer is B as", truncated=True), None, "truncated"),
        (Reading(text="B. It is br", truncated=True), "B", "letter"),
        (Reading(text="B", blocked="answer, SAFETY"), None, "blocked"),
        (Reading(text=None, unreadable="nested"), None, "unreadable"),
    ],
)
def test_replies_that_are_cut_or_withheld(reading: Reading, letter: str | None, status: str) -> None:
    found = choose(reading, OPTIONS)
    assert (found.letter, found.status) == (letter, status)
    assert found.choice == (letter or ("blocked" if status == "blocked" else "invalid"))


def test_options_of_other_letters_and_of_one_text() -> None:
    assert choose(Reading(text="F"), {"F": "x", "E": "y"}).letter == "F"
    assert choose(Reading(text="same"), {"A": "Same", "B": "same."}).letter is None


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda b: b.decode("utf-8", "surrogateescape")))
def test_any_text_has_an_outcome(text: str) -> None:
    found = choose(Reading(text=text), OPTIONS)
    assert found.outcome in ("ok", "invalid") and (found.letter in OPTIONS) == (found.outcome == "ok")


@pytest.mark.parametrize("piece", ["answer ", "A ", "(", "*", " ", "A. ", "answer is {", '{"answer": "'])
def test_long_texts_are_read_in_time(piece: str) -> None:
    start = time.process_time()
    choose(Reading(text=piece * (400_000 // len(piece))), OPTIONS)
    assert time.process_time() - start < 5.0, "a way that is quadratic takes minutes"

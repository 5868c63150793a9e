"""MMAD's accuracies: counted by hand, and the released scorer's as it goes through its list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.errors import DataError
from benchmark.core.questions import DETECTION, TASKS, MultipleChoice, Questions
from benchmark.core.samples import GroundTruth, Outcome, Prediction, Sample
from benchmark.scoring.evaluation import Evaluation
from benchmark.scoring.metrics.choices import ReleasedScorer
from benchmark.scoring.metrics.registry import METRICS
from benchmark.scoring.swap_parts import swapped
from tests.protocols import protocol

NAMES = tuple(n for n, s in METRICS.items() if s.source == "choices")
TRUTH = GroundTruth(mask=np.zeros((2, 2), dtype=bool))
Image = tuple[str, bool, Sequence[tuple[str, str, str]], Outcome]
"""Subset, whether it is defective, (task, key, answer) of each question, and the image's outcome."""


def released(entries: Sequence[tuple[str, bool, str, str, str]]) -> dict[str, float]:
    """Score (subset, defective, task, key, answer) as a list that shrinks under the loop that goes through it."""
    rows = list(entries)
    subsets, tasks = ({row[at]: None for row in rows} for at in (0, 2))
    counted: dict[tuple[str, str, bool], list[bool]] = {}
    for row in rows:
        subset, defective, task, key, answer = row
        if key not in "ABCDE" or len(answer) != 1 or answer not in "ABCDE":
            rows.remove(row)
            continue
        counted.setdefault((subset, task, defective and task == DETECTION), []).append(key == answer)

    def share(*place: Any) -> float:
        marks = counted.get(place, [])
        return sum(marks) / len(marks) if marks else 0.0

    def accuracy(subset: str, task: str) -> float:
        if task == DETECTION:
            return (share(subset, task, False) + share(subset, task, True)) / 2
        return share(subset, task, False)

    return {subset: float(np.mean([accuracy(subset, task) for task in tasks])) for subset in subsets}


def evaluated(images: Sequence[Image], *, names: Sequence[str] = NAMES, **changes: Any) -> Evaluation:
    evaluation = Evaluation(protocol(**({"resamples": 0} | changes)), names, seed=0)
    for at, (subset, defective, asked, outcome) in enumerate(images):
        questions = Questions(
            asked=tuple(
                MultipleChoice(task=task, text="?", options=tuple((c, c) for c in "ABCDEF"), key=key)
                for task, key, _ in asked
            )
        )
        sample = Sample(
            id=f"{subset}/{at:03}.png",
            image=Path("unused"),
            mask=None,
            defective=defective,
            category=subset,
            defect_type="bad" if defective else "good",
            group=str(at),
            split="test",
            sha256="0",
            questions=questions,
        )
        given_ = None if outcome == "failed" else tuple(answer for _, _, answer in asked)
        evaluation.add(sample, Prediction(outcome=outcome, choices=given_), TRUTH)
    return evaluation


def values(images: Sequence[Image], **changes: Any) -> dict[tuple[str, str], float | None]:
    return {(r.metric, r.category): r.value for r in evaluated(images, **changes).report()}


def all_tasks(answers: Sequence[str], *, defective: bool, subset: str = "a", outcome: Outcome = "ok") -> Image:
    """One question of each task whose key is B."""
    asked = [(task, "B", answer) for task, answer in zip(TASKS, answers, strict=True)]
    return subset, defective, asked, outcome


def test_accuracies_are_those_counted_by_hand() -> None:
    """Detection: 1 of 2 good ones, 1 of 1 defective; classification 2 of 3; localisation 1 of 3; the rest 3 of 3."""
    images = [
        all_tasks(["B", "B", "B", "B", "B", "B", "B"], defective=False),
        all_tasks(["A", "B", "invalid", "B", "B", "B", "B"], defective=False, outcome="invalid"),
        all_tasks(["B", "C", "A", "B", "B", "B", "B"], defective=True),
    ]
    found = values(images)
    assert found["mmad_anomaly_detection", "a"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["mmad_defect_classification", "a"] == pytest.approx(2 / 3)
    assert found["mmad_defect_localization", "a"] == pytest.approx(1 / 3), "what cannot be read counts wrong"
    assert found["mmad_object_analysis", "a"] == 1.0
    assert found["mmad_accuracy", "a"] == pytest.approx((3 / 4 + 2 / 3 + 1 / 3 + 4) / 7)
    # the released scorer drops the unreadable localisation, and with it the description behind it
    assert found["mmad_accuracy_released", "a"] == pytest.approx((3 / 4 + 2 / 3 + 1 / 2 + 4) / 7)


def test_the_mean_is_over_subsets_whatever_their_size() -> None:
    right, wrong = ["B"] * 7, ["A"] * 7
    one = [all_tasks(right, defective=d, subset="a") for d in (True, False)] * 5
    other = [all_tasks(wrong, defective=d, subset="b") for d in (True, False)]
    assert values([*one, *other])["mmad_accuracy", "mean"] == 0.5


@pytest.mark.parametrize(
    ("choices", "counted"),
    [
        (["B", "B", "B"], [True, True, True]),
        (["x", "B", "B"], [False, False, True]),
        (["x", "x", "B"], [False, False, True]),
        (["x", "x", "x", "B", "B"], [False, False, False, False, True]),
        (["B", "invalid", "F", "B"], [True, False, False, True]),
        (["B", "failed", "B"], [False, False, False]),
        (["blocked"], [False]),
    ],
)
def test_what_the_released_scorer_looks_at(choices: list[str], counted: list[bool]) -> None:
    assert list(ReleasedScorer().counted(choices, ["B"] * len(choices))) == counted


def test_it_passes_over_the_first_answer_of_the_next_image() -> None:
    scorer = ReleasedScorer()
    assert scorer.counted(["B", "invalid"], ["B", "B"]) == (True, False)
    assert scorer.counted(["failed", "B"], ["B", "B"]) == (False, False), "it never sees an image that failed"
    assert scorer.counted(["B", "B"], ["B", "B"]) == (False, True)
    assert scorer.counted(["B"], ["F"]) == (False,), "nor a key that it does not know"


ASKED = st.tuples(st.sampled_from(TASKS), st.sampled_from("ABCDEF"), st.sampled_from(["A", "B", "B", "invalid", "F"]))
IMAGES = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.booleans(), st.lists(ASKED, min_size=1, max_size=6), st.sampled_from(["ok", "failed"])
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(IMAGES)
def test_the_released_accuracy_is_that_of_the_shrinking_list(drawn: list[Image]) -> None:
    """One image of each subset asks about every task, so that every subset has all of them, as MMAD's do."""
    images = [*drawn, *(all_tasks(["A"] * 7, defective=d, subset=s) for s in "ab" for d in (True, False))]
    entries = [(subset, bad, *one) for subset, bad, asked, outcome in images if outcome == "ok" for one in asked]
    found = values(images, names=["mmad_accuracy_released"])
    for subset, wanted in released(entries).items():
        assert found["mmad_accuracy_released", subset] == pytest.approx(wanted, abs=1e-12)


def test_a_task_without_questions_leaves_the_mean_undefined_and_says_which() -> None:
    images: list[Image] = [("a", False, [(DETECTION, "A", "A"), ("Defect Analysis", "A", "A")], "ok")]
    rows = {r.metric: r for r in evaluated(images).report() if r.category == "a"}
    assert rows["mmad_defect_analysis"].value == 1.0
    assert rows["mmad_accuracy"].value is None
    reason = rows["mmad_accuracy"].reason or ""
    assert "whether defective images are defective" in reason and "Object Analysis" in reason
    assert "whether good images" not in reason and "Defect Analysis" not in reason


def test_failed_images_count_wrong_or_are_left_out_as_the_protocol_says() -> None:
    images = [
        all_tasks(["B"] * 7, defective=True),
        all_tasks(["B"] * 7, defective=False),
        all_tasks(["B"] * 7, defective=True, outcome="failed"),
    ]
    assert values(images)["mmad_accuracy", "a"] == pytest.approx((0.75 + 6 * 2 / 3) / 7)
    assert values(images, failures="exclude")["mmad_accuracy", "a"] == 1.0
    assert values(images)["mmad_accuracy_released", "a"] == 1.0, "its scripts drop such an image"


def test_as_many_answers_as_questions() -> None:
    evaluation = evaluated([])
    sample = Sample(
        id="x", image=Path("x"), mask=None, defective=True, category="a", defect_type="bad", group="x", split="test",
        sha256="0", questions=Questions(asked=(MultipleChoice(task=DETECTION, text="?", options=(), key="A"),)),
    )  # fmt: skip
    with pytest.raises(DataError, match="x: 2 answers to 1 question"):
        evaluation.add(sample, Prediction(choices=("A", "B")), TRUTH)


def test_intervals_and_the_swap_of_two_runs() -> None:
    answers = np.random.default_rng(0).choice(["A", "B"], (40, 7))
    images = [all_tasks(list(row), defective=bool(i % 2)) for i, row in enumerate(answers)]
    perfect = [all_tasks(["B"] * 7, defective=bool(i % 2)) for i in range(40)]
    one, two = (evaluated(some, resamples=200) for some in (images, perfect))
    (row,) = [r for r in one.report() if r.metric == "mmad_accuracy" and r.category == "a"]
    assert row.value is not None and row.low is not None and row.high is not None
    assert row.low < row.value < row.high and row.high - row.low < 0.2
    parts = [{kind: p for (kind, category), p in e.all_parts().items() if category == "a"} for e in (one, two)]
    swaps = np.random.default_rng(1).integers(0, 2, (200, 40)).astype(np.uint8)
    found = swapped(*parts, one.specs, one.protocol, swaps=swaps)["mmad_accuracy"]
    assert found.observed == pytest.approx(row.value - 1.0)
    assert (np.abs(found.permuted) < abs(found.observed)).all()


def test_an_interval_rests_on_the_images_that_were_asked() -> None:
    """Three images with a question of a task are three, among however many others; 20 right answers are no 60."""
    rare, usual = TASKS[3], TASKS[5]
    images: list[Image] = []
    for i in range(60):
        asked = [(DETECTION, "B", "B"), *([(rare, "A", "A")] if i < 3 else []), *([(usual, "A", "A")] * (i % 3 == 0))]
        images.append(("a", bool(i % 2), asked, "ok"))
    found = {r.metric: r for r in evaluated(images, resamples=100).report() if r.category == "a"}
    few, some, all_ = (found[f"mmad_{name.lower().replace(' ', '_')}"] for name in (rare, usual, DETECTION))
    assert few.value == some.value == all_.value == 1.0
    assert few.low is None and some.low == pytest.approx(20 / (20 + 1.96**2), abs=1e-4)
    assert all_.low == pytest.approx(30 / (30 + 1.96**2), abs=1e-4)

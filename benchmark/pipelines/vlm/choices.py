"""Multiple-choice questions: how they are asked about an image, and what their answers say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.chat.answers import Record
from benchmark.chat.form import Order
from benchmark.chat.letters import Chosen, choose
from benchmark.chat.providers.base import Provider, reading
from benchmark.chat.question import Draft, Question, SentImage, digest
from benchmark.chat.verdict import Reading
from benchmark.core.questions import DETECTION, TASKS, MultipleChoice, says_defective
from benchmark.core.samples import Outcome, Prediction, Sample
from benchmark.pipelines.vlm.drafts import Drafter
from benchmark.pipelines.vlm.prepare import VERSION, ImageSettings, Reference, alike, prepare
from benchmark.pipelines.vlm.references import Find, of_sample

Image = NDArray[np.uint8]
Row = Mapping[str, Any]
NOT_CHOSEN: tuple[Outcome, ...] = ("invalid", "blocked", "failed")
ENDINGS: Mapping[Order, str] = {
    "label_first": "Answer with the letter of the right option and nothing else.",
    "reasoning_first": "Reason in a few sentences, then end with one line of the form: Answer: <letter>",
}


@dataclass(frozen=True, kw_only=True)
class ChoiceDrafter(Drafter):
    """Makes the questions about a sample, one for each of its multiple-choice questions and each draw."""

    order: Order

    def drafts(self, sample: Sample, decode: Callable[[], Image]) -> list[Draft]:
        """Return the drafts of every question in turn; the image is prepared once for all of them.

        Args:
            sample: with questions.
            decode: returns the image, (H, W, 3) uint8 RGB.
        """
        assert sample.questions is not None
        shown = self.references(sample) if self.shown else ()
        facts = {
            "provider": dict(self.provider),
            "preparation": VERSION,
            "image": sample.sha256,
            "templates": [one.sha256 for one in shown],
            "encoding": self.image.model_dump(),
            "layout": self.layout.model_dump(mode="json"),
        }

        @cache
        def prepared() -> tuple[SentImage, dict[str, Any]]:
            return prepare(decode(), None, settings=self.image, aligning=self.align, where=str(sample.image))

        def draft(asked: MultipleChoice, draw: int) -> Draft:
            prompt = f"{self.texts[sample.category]}\n\n{question_text(asked, self.order)}"

            def make() -> tuple[Question, dict[str, Any]]:
                sent, done = prepared()
                parts = self.layout.parts(references=[one.sent for one in shown], image=sent, prompt=prompt)
                return Question(parts=parts, draw=draw), done

            recipe = digest({**facts, "prompt": prompt, "draw": draw})
            return Draft(sample_id=sample.id, recipe=recipe, make=make, alike=alike)

        return [draft(asked, draw) for asked in sample.questions.asked for draw in range(self.draws)]


def templates(samples: Iterable[Sample], shots: int, settings: ImageSettings) -> Find:
    """Return what finds the defect-free images that a sample is shown with: the first of those that its data lists.

    Args:
        samples: all of the data set.
        shots: how many are shown.
        settings: size and encoding.
    """
    known = {sample.id: sample for sample in samples}

    def find(sample: Sample) -> tuple[Reference, ...]:
        listed = sample.questions.templates[:shots] if sample.questions is not None else ()
        return tuple(of_sample(known[name], settings) for name in listed)

    return find


def question_text(asked: MultipleChoice, order: Order) -> str:
    """Return a question with its options, in the order of the data, and how it is to be answered."""
    options = "\n".join(f"{letter}. {text}" for letter, text in asked.options)
    return f"Question: {asked.text}\n{options}\n\n{ENDINGS[order]}"


def predict(sample: Sample, records: Sequence[Record], provider: Provider) -> Prediction:
    """Return the choices of an image, and the label that its detection question gives it.

    Of several draws the letter that most chose counts, of equally many the one that came first. Label and score are
    those of the first detection question, whose options say yes or no; the score is the share of its draws that say
    yes. Without an answer to it the outcome of the image is what stands in its place.

    Args:
        sample: with questions.
        records: for each question in turn, for each draw in turn.
        provider: of the records.
    """
    assert sample.questions is not None
    asked, draws = sample.questions.asked, len(records) // len(sample.questions.asked)
    readings = [None if record.reply is None else reading(provider, record.reply) for record in records]
    repeated = [one for one in asked for _ in range(draws)]
    each = [_chosen(*one) for one in zip(records, readings, repeated, strict=True)]
    chosen = [_most(each[at * draws : (at + 1) * draws]) for at in range(len(asked))]
    choices = tuple(one.choice for one in chosen)
    facts = _facts(asked, chosen, records, readings)
    told = "; ".join(map(_told, asked, choices))
    at = next((i for i, one in enumerate(asked) if one.task == DETECTION), None)
    if at is None:
        return Prediction(choices=choices, rationale=told, extra=facts)
    if chosen[at].letter is None:
        outcome, message = chosen[at].outcome, chosen[at].message
        return Prediction(outcome=outcome, message=message, choices=choices, rationale=told, extra=facts)
    words = {letter: says_defective(text) for letter, text in asked[at].options}
    votes = [words[one.letter] for one in each[at * draws : (at + 1) * draws] if one.letter is not None]
    label, known = words[choices[at]], [one for one in votes if one is not None]
    score = sum(known) / len(known) if label is not None else None
    return Prediction(image_score=score, label=label, choices=choices, rationale=told, extra=facts)


def _chosen(record: Record, read: Reading | None, asked: MultipleChoice) -> Chosen:
    if read is None:
        return Chosen(outcome="failed", status="failed", message=record.failure)
    return choose(read, dict(asked.options))


def _most(draws: Sequence[Chosen]) -> Chosen:
    counted = Counter(one.letter for one in draws if one.letter is not None)
    if not counted:
        return draws[0]
    letter = max(counted, key=counted.__getitem__)  # of equally many the first
    return next(one for one in draws if one.letter == letter)


def _told(asked: MultipleChoice, choice: str) -> str:
    return f"{asked.task}: {choice}" if choice == asked.key else f"{asked.task}: {choice} (right: {asked.key})"


def _facts(
    asked: Sequence[MultipleChoice],
    chosen: Sequence[Chosen],
    records: Sequence[Record],
    readings: Sequence[Reading | None],
) -> dict[str, float | int | str | None]:
    known = [read for read in readings if read is not None]
    costs = [record.cost_usd for record, read in zip(records, readings, strict=True) if read is not None]
    versions = sorted({read.model_version for read in known if read.model_version})
    return {
        "tasks": "; ".join(one.task for one in asked),
        "keys": " ".join(one.key for one in asked),
        "answers": " ".join(one.choice for one in chosen),
        "answer": " ".join(one.status for one in chosen),
        "calls": len(records),
        "model_version": " ".join(versions) or None,
        "prompt_tokens": sum(read.usage.prompt for read in known),
        "output_tokens": sum(read.usage.output for read in known),
        "cost_usd": sum(c for c in costs if c is not None) if None not in costs else None,
    }


def tables(rows: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    """Return how the calls went, and for each task how many answers are right, wrong, or none."""
    asked = [row for row in rows if row.get("answers") is not None]
    if not asked:
        return {}
    each: dict[str, Counter[str]] = {task: Counter() for task in TASKS}
    for row in asked:
        lists = (str(row["tasks"]).split("; "), str(row["keys"]).split(), str(row["answers"]).split())
        for task, key, choice in zip(*lists, strict=True):
            what = choice if choice in NOT_CHOSEN else "right" if choice == key else "wrong"
            each[task].update([what, "asked"])
    names = ("asked", "right", "wrong", *NOT_CHOSEN)
    total = sum(each.values(), Counter[str]())
    costs = [row["cost_usd"] for row in asked]
    summary = {
        "images": len(asked),
        "questions": total["asked"],
        "calls": sum(int(row["calls"]) for row in asked),
        **{f"{name}_rate": total[name] / total["asked"] for name in NOT_CHOSEN},
        "prompt_tokens": sum(int(row["prompt_tokens"]) for row in asked),
        "output_tokens": sum(int(row["output_tokens"]) for row in asked),
        "cost_usd": None if None in costs else float(sum(costs)),
        "model_versions": " ".join(sorted({v for row in asked for v in str(row["model_version"] or "").split()}))
        or "–",
    }
    by_task = [{"task": task, **{name: counted[name] for name in names}} for task, counted in each.items()]
    return {"answers": [summary], "questions": by_task}

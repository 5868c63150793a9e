"""Several answers about one image become one prediction; the rows of a run become small tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from benchmark.chat.answers import Record
from benchmark.chat.form import Form
from benchmark.chat.logprobs import probability
from benchmark.chat.providers.base import Provider, reading
from benchmark.chat.question import digest
from benchmark.chat.verdict import Reading, Verdict, judge
from benchmark.core.samples import Prediction
from benchmark.pipelines.vlm.drawing import NOTES, Placed, place
from benchmark.scoring.metrics.labels import balanced_accuracy, confusion, f_beta, precision, recall

Row = Mapping[str, Any]
ImageScore = Literal["share", "confidence", "logprobs"]
"""The share of valid answers that call the image defective; how sure the model says it is, or 1 less that where it
calls the image good; or the probability of NOK against OK in the answer's tokens. The mean over the valid answers."""
Refine = Callable[[Placed], Placed]


def predict(
    records: Sequence[Record], provider: Provider, form: Form, *, score: ImageScore, refine: Refine | None = None
) -> Prediction:
    """Take the majority of the valid answers; a tie counts as defective, as a slip costs more than a second look.

    Regions of several answers make a score map, the mean over the valid ones, and a mask where half of them or more
    see a defect. Without a valid answer the outcome is that of the first one.

    Args:
        records: the answers about one image, one of each draw.
        provider: reads them.
        form: how they were asked for.
        score: what the image score is.
        refine: draws the regions of an answer anew.
    """
    readings = [None if r.reply is None else reading(provider, r.reply) for r in records]
    verdicts = [_verdict(record, read, form) for record, read in zip(records, readings, strict=True)]
    placed: list[Placed | None] = [None] * len(records)
    if form.places:
        placed = [
            None if v.label is None else place(v, r.prepared, form) for v, r in zip(verdicts, records, strict=True)
        ]
        verdicts = [_usable(verdict, found) for verdict, found in zip(verdicts, placed, strict=True)]
    valid = [i for i, v in enumerate(verdicts) if v.label is not None]
    for i in valid:
        if refine is not None and (one := placed[i]) is not None and len(one.masks):
            placed[i] = refine(one)
    facts = _facts(records, readings, verdicts)
    if form.places:
        facts |= _notes(placed, valid)
    if not valid:
        return Prediction(outcome=verdicts[0].outcome, message=verdicts[0].message, extra=facts)
    share = sum(verdicts[i].label == "NOK" for i in valid) / len(valid)
    called = share >= 0.5
    agreeing = next(i for i in valid if (verdicts[i].label == "NOK") == called)
    rationale = verdicts[agreeing].reasoning
    image_score: float | None = share
    if score != "share":
        sure = [s for i in valid if (s := _score(verdicts[i], readings[i], score)) is not None]
        image_score, facts = (float(np.mean(sure)) if sure else None), {**facts, "scored": len(sure)}
    prediction = Prediction(image_score=image_score, unscored=image_score is None, label=called, extra=facts)
    regions = [found for i in valid if (found := placed[i]) is not None]
    if not regions:
        return replace(prediction, rationale=rationale)
    shown = regions[valid.index(agreeing)]
    return replace(
        _drawn(prediction, regions), rationale=f"{rationale} [{shown}]".strip() if len(shown.masks) else rationale
    )


def _score(verdict: Verdict, read: Reading | None, score: ImageScore) -> float | None:
    """Return how likely an answer holds the image for defective, in [0, 1]; None where it does not say."""
    if score == "logprobs":
        return None if read is None else probability(read.tokens, verdict)
    sure = verdict.confidence
    return sure if sure is None or verdict.label == "NOK" else 1.0 - sure


def _drawn(prediction: Prediction, regions: Sequence[Placed]) -> Prediction:
    if len(regions) == 1:
        return replace(prediction, regions=regions[0].regions, mask=regions[0].masks.union())
    shape = regions[0].masks.shape
    scores, votes = np.zeros(shape, dtype=np.float64), np.zeros(shape, dtype=np.int64)
    for one in regions:
        scores += one.regions.exact_map()
        votes += one.masks.union()
    return replace(prediction, score_map=(scores / len(regions)).astype(np.float32), mask=2 * votes >= len(regions))


def _verdict(record: Record, read: Reading | None, form: Form) -> Verdict:
    if read is None:
        return Verdict(outcome="failed", status="failed", message=record.failure)
    return judge(read, form)


def _usable(verdict: Verdict, placed: Placed | None) -> Verdict:
    """An answer that names defects of which none has a place is invalid."""
    if placed is None or placed.unusable is None:
        return verdict
    return Verdict(outcome="invalid", status="bad_defects", message=placed.unusable)


def _notes(placed: Sequence[Placed | None], valid: Sequence[int]) -> dict[str, int | str | None]:
    noted = Counter(dict.fromkeys(NOTES, 0))
    for one in placed:
        noted.update(one.notes if one is not None else {})
    words = " ".join(f"{name}={n}" for name, n in noted.items() if n)
    return {"n_regions": sum(len(p.masks) for i in valid if (p := placed[i])), "places": words or None}


def _facts(
    records: Sequence[Record], readings: Sequence[Reading | None], verdicts: Sequence[Verdict]
) -> dict[str, float | int | str | None]:
    known = [r for r in readings if r is not None]
    costs = [r.cost_usd for r, read in zip(records, readings, strict=True) if read is not None]
    versions = sorted({r.model_version for r in known if r.model_version})
    return {
        "votes": " ".join(v.label or v.outcome for v in verdicts),
        "answer": " ".join(v.status for v in verdicts),
        "model_version": " ".join(versions) or None,
        "prompt_tokens": sum(r.usage.prompt for r in known),
        "output_tokens": sum(r.usage.output for r in known),
        "cost_usd": sum(c for c in costs if c is not None) if None not in costs else None,
        "prompt_sha256": digest([p["text"] for p in records[0].request["parts"] if "text" in p])[:12],
        "aligned": int(bool(records[0].prepared.get("aligned"))),
    }


def tables(rows: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    """Return what the labels rest on: how the calls went, what invalid answers would change, how draws differ.

    Of answers with places also how many regions were used, and what was noted of the others.
    """
    asked = [row for row in rows if row.get("votes") is not None]
    if not asked:
        return {}
    found = {"answers": [_summary(asked)], "labels": _policies(rows)}
    draws = max(len(str(row["votes"]).split()) for row in asked)
    if draws > 1 and all(row.get("tiles") is None for row in rows):  # else the votes are those of tiles
        found["draws"] = _draws(asked, draws)
    if any(row.get("n_regions") is not None for row in asked):
        found["places"] = [_places(asked)]
    return found


def _places(rows: Sequence[Row]) -> dict[str, Any]:
    noted: Counter[str] = Counter()
    for row in rows:
        for word in str(row["places"] or "").split():
            name, _, n = word.partition("=")
            noted[name] += int(n)
    return {"regions": sum(int(row["n_regions"] or 0) for row in rows), **{name: noted[name] for name in NOTES}}


def _summary(rows: Sequence[Row]) -> dict[str, Any]:
    votes = Counter(vote for row in rows for vote in str(row["votes"]).split())
    n = sum(votes.values())
    costs = [row["cost_usd"] for row in rows]
    return {
        "images": len(rows),
        "calls": n,
        "invalid_rate": votes["invalid"] / n,
        "blocked_rate": votes["blocked"] / n,
        "failed_rate": votes["failed"] / n,
        "prevalence": sum(bool(row["defective"]) for row in rows) / len(rows),
        "prompt_tokens": sum(int(row["prompt_tokens"]) for row in rows),
        "output_tokens": sum(int(row["output_tokens"]) for row in rows),
        "cost_usd": None if None in costs else float(sum(costs)),
        "prompts_sha256": " ".join(sorted({str(row["prompt_sha256"]) for row in rows})),
        "model_versions": " ".join(sorted({v for row in rows for v in str(row["model_version"] or "").split()})) or "–",
    }


def _policies(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """F2 and its parts under every reading of the answers that are not valid; each reading favours something else."""
    truth = [bool(row["defective"]) for row in rows]
    ok = [row["outcome"] == "ok" for row in rows]
    readings = {"wrong": [not t for t in truth], "defective": [True] * len(rows), "good": [False] * len(rows)}
    called = [bool(row["label"]) for row in rows]
    found = []
    for name, instead in readings.items():
        labels = [c if valid else other for c, valid, other in zip(called, ok, instead, strict=True)]
        found.append({"invalid counts as": name, **_scores(labels, truth)})
    kept = [i for i, valid in enumerate(ok) if valid]
    found.append({"invalid counts as": "dropped", **_scores([called[i] for i in kept], [truth[i] for i in kept])})
    always = _scores([True] * len(rows), truth)
    return [*found, {"invalid counts as": "(always defective)", **always}]


def _draws(rows: Sequence[Row], n: int) -> list[dict[str, Any]]:
    """Scores of each draw alone, an invalid one being wrong, and their mean and deviation."""
    truth = [bool(row["defective"]) for row in rows]
    each = []
    for draw in range(n):
        votes = [str(row["votes"]).split()[draw] for row in rows]
        labels = [{"NOK": True, "OK": False}.get(vote, not t) for vote, t in zip(votes, truth, strict=True)]
        each.append({"draw": str(draw + 1), **_scores(labels, truth)})
    columns = [key for key in each[0] if key not in ("draw", "n")]
    found: list[dict[str, Any]] = list(each)
    for name, function in (("mean", np.mean), ("std", lambda x: np.std(x, ddof=1))):
        row: dict[str, Any] = {"draw": name}
        for column in columns:
            values = [e[column] for e in each]
            row[column] = None if None in values else float(function(values))
        found.append({**row, "n": len(rows)})
    return found


def _scores(called: Sequence[bool], truth: Sequence[bool]) -> dict[str, Any]:
    cells = confusion(np.array(called, dtype=bool), np.array(truth, dtype=bool), None)
    values = {
        "f2": f_beta(cells, beta=2.0),
        "precision": precision(cells),
        "recall": recall(cells),
        "balanced_accuracy": balanced_accuracy(cells),
    }
    plain = {name: None if np.isnan(value) else float(value) for name, value in values.items()}
    return {**plain, "n": len(truth)}

"""Several answers about one image become one prediction; the rows of a run become small tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmark.chat.answers import Record
from benchmark.chat.providers.base import Provider, reading
from benchmark.chat.question import digest
from benchmark.chat.verdict import Reading, Verdict, judge
from benchmark.core.samples import Prediction
from benchmark.scoring.metrics.labels import balanced_accuracy, confusion, f_beta, precision, recall

Row = Mapping[str, Any]


def predict(records: Sequence[Record], provider: Provider) -> Prediction:
    """Take the majority of the valid answers; a tie counts as defective, as a slip costs more than a second look.

    The image score is the share of valid answers that call the image defective. Without a valid answer the
    outcome is that of the first one.
    """
    readings = [None if r.reply is None else reading(provider, r.reply) for r in records]
    verdicts = [_verdict(record, read) for record, read in zip(records, readings, strict=True)]
    valid = [v for v in verdicts if v.label is not None]
    facts = _facts(records, readings, verdicts)
    if not valid:
        return Prediction(outcome=verdicts[0].outcome, message=verdicts[0].message, extra=facts)
    share = sum(v.label == "NOK" for v in valid) / len(valid)
    called = share >= 0.5
    reasons = [v.reasoning for v in valid if (v.label == "NOK") == called]
    return Prediction(image_score=share, label=called, rationale=reasons[0], extra=facts)


def _verdict(record: Record, read: Reading | None) -> Verdict:
    if read is None:
        return Verdict(outcome="failed", status="failed", message=record.failure)
    return judge(read)


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
    """Return what the labels rest on: how the calls went, what invalid answers would change, how draws differ."""
    asked = [row for row in rows if row.get("votes") is not None]
    if not asked:
        return {}
    found = {"answers": [_summary(asked)], "labels": _policies(rows)}
    draws = max(len(str(row["votes"]).split()) for row in asked)
    if draws > 1:
        found["draws"] = _draws(asked, draws)
    return found


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

"""Samples, truths and predictions of any number of images that lie nowhere, and what an evaluation makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmark.core.samples import GroundTruth, Manifest, Prediction, Sample
from benchmark.results import files
from benchmark.results.replicates import REPLICATES, encode_replicates
from benchmark.scoring.evaluation import Evaluation
from benchmark.scoring.protocol import Protocol
from tests.harness import option

SIDE, CATEGORIES, EVERY = 32, 4, 10
"""Pixels a side, categories, and how many images come on one that is defective."""


def samples(number: int) -> Iterator[Sample]:
    """Yield test samples of four categories, every tenth defective."""
    for i in range(number):
        defective = i // CATEGORIES % EVERY == 0
        kind = "spot" if defective else "good"
        name = f"part{i % CATEGORIES}/test/{kind}/{i:07}.png"
        yield Sample(
            id=name, image=Path("/data/folder") / name, mask=Path("/data/folder/masks") / name if defective else None,
            defective=defective, category=f"part{i % CATEGORIES}", defect_type=kind, group=name, split="test",
            sha256=f"{i:064x}", mask_sha256=f"{i:064x}" if defective else None,
        )  # fmt: skip


def evaluated(number: int, *, maps: bool, resamples: int) -> Evaluation:
    """Evaluate generated answers: constant ones, or score maps with a mask, a label and further facts."""
    protocol = Protocol.model_validate(option("protocol", "default", resamples=resamples))
    names = option("metric", "standard")["names"]
    evaluation = Evaluation(protocol, names, seed=0)
    random = np.random.default_rng(0)
    constant = Prediction(image_score=1.0, label=True)
    for sample in Manifest(dataset="generated", samples=samples(number)).test:  # type: ignore[arg-type]
        mask = np.zeros((SIDE, SIDE), dtype=bool)
        if sample.defective:
            y, x = random.integers(0, SIDE - 5, 2)
            mask[y : y + 5, x : x + 5] = True
        answer = constant
        if maps:
            scores = random.random((SIDE, SIDE), dtype=np.float32) + 0.3 * mask.astype(np.float32)
            score = float(scores.max())
            answer = Prediction(
                score_map=scores, mask=scores > 0.9, image_score=score, label=score > 1.0,
                extra={"aligned": 1, "correlation": score / 3.0},
            )  # fmt: skip
        evaluation.add(sample, answer, GroundTruth(mask=mask))
    return evaluation


def kept(evaluation: Evaluation, folder: Path) -> str:
    """Write what a run keeps of an evaluation below a folder; returns the digest of its rows."""
    rows = evaluation.rows()
    evaluation.report()
    files.write_breakdown(folder, evaluation.breakdown())
    files.write_rows(folder / files.ROWS, rows)
    files.write_atomically(folder / REPLICATES, encode_replicates(evaluation))
    return files.rows_digest(rows)

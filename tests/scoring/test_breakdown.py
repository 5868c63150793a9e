"""Metrics by defect type, by size, without good images, over single images, and what chance has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, recall_score

from benchmark.core.errors import ResultsError
from benchmark.core.samples import GroundTruth, Prediction, Sample
from benchmark.results import files
from benchmark.scoring.evaluation import Evaluation
from tests.harness import SMALL_SAT, run
from tests.protocols import protocol

RNG = np.random.default_rng(0)
TYPES = ["crack"] * 5 + ["void"] * 4 + ["good"] * 6
MASKS = [np.zeros((12, 12), dtype=bool) for _ in TYPES]
for _at, _mask in enumerate(MASKS[:9]):
    _mask.flat[: 3 + 4 * _at] = True
MAPS = [RNG.random((12, 12)) + 0.6 * m for m in MASKS]
LABELS = [bool(m.max() > 1.35) for m in MAPS]


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str, str, str], dict[str, object]]:
    evaluation = Evaluation(protocol(resamples=0), ["ap", "f1_max", "max_iou", "iou", "recall", "image_ap"], seed=0)
    for at, (kind, mask, scores) in enumerate(zip(TYPES, MASKS, MAPS, strict=True)):
        sample = Sample(
            id=f"{at:02d}", image=Path("x"), mask=None, defective=kind != "good", category="c", defect_type=kind,
            group=str(at), split="test", sha256="0",
        )  # fmt: skip
        evaluation.add(
            sample, Prediction(score_map=scores, mask=scores > 0.9, label=LABELS[at]), GroundTruth(mask=mask)
        )
    return {(r["category"], r["by"], r["part"], r["metric"]): r for r in evaluation.breakdown()}


def pooled_ap(chosen: list[int]) -> float:
    return float(
        average_precision_score(
            np.concatenate([MASKS[i].ravel() for i in chosen]), np.concatenate([MAPS[i].ravel() for i in chosen])
        )
    )


def test_a_defect_type_stands_against_all_good_images(rows) -> None:
    good = list(range(9, 15))
    for kind, own in (("crack", list(range(5))), ("void", list(range(5, 9)))):
        row = rows["c", "defect_type", kind, "ap"]
        assert row["value"] == pytest.approx(pooled_ap([*own, *good]))
        assert (row["n"], row["n_defective"]) == (len(own) + 6, len(own))
        expected = recall_score([True] * len(own), [LABELS[i] for i in own])
        assert rows["c", "defect_type", kind, "recall"]["value"] == pytest.approx(expected)
    assert ("c", "defect_type", "good", "ap") not in rows


def test_thirds_by_area_hold_every_defective_image_once(rows) -> None:
    good = list(range(9, 15))
    for name, own in (("small", [0, 1, 2]), ("medium", [3, 4, 5]), ("large", [6, 7, 8])):
        row = rows["c", "defect_area", name, "ap"]
        assert row["value"] == pytest.approx(pooled_ap([*own, *good]))
        assert row["n_defective"] == 3


def test_defective_images_alone_and_each_by_itself(rows) -> None:
    assert rows["c", "images", "defective alone", "ap"]["value"] == pytest.approx(pooled_ap(list(range(9))))
    each = [pooled_ap([i]) for i in range(9)]
    for part, percent in (("lower quartile", 25), ("median", 50), ("upper quartile", 75)):
        assert rows["c", "images", part, "ap"]["value"] == pytest.approx(np.percentile(each, percent))
    iou = [(m & (s > 0.9)).sum() / (m | (s > 0.9)).sum() for m, s in zip(MASKS[:9], MAPS[:9], strict=True)]
    assert rows["c", "images", "median", "iou"]["value"] == pytest.approx(np.median(iou))


def test_chance_is_what_a_constant_map_has(rows) -> None:
    evaluation = Evaluation(protocol(resamples=0), ["ap", "f1_max", "max_iou"], seed=0)
    for at, mask in enumerate(MASKS):
        sample = Sample(
            id=str(at), image=Path("x"), mask=None, defective=bool(mask.any()), category="c", defect_type="x",
            group=str(at), split="test", sha256="0",
        )  # fmt: skip
        evaluation.add(sample, Prediction(score_map=np.full((12, 12), 0.5)), GroundTruth(mask=mask))
    constant = {r.metric: r.value for r in evaluation.report() if r.category == "c"}
    for metric, value in constant.items():
        assert rows["c", "chance", "constant map", metric]["value"] == pytest.approx(value)


def test_a_run_keeps_its_parts_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    folder = run(tmp_path, "pipeline=reference_difference", *SMALL_SAT).folder
    found = files.read_breakdown(folder)
    assert {r["by"] for r in found} == {"defect_type", "defect_area", "images", "chance"}
    (folder / files.BREAKDOWN).write_text("[{")
    with pytest.raises(ResultsError, match="damaged"):
        files.read_breakdown(folder)
    (folder / files.BREAKDOWN).unlink()
    assert files.read_breakdown(folder) == []

"""AnomalyDINO: which good images it learns from and says so, which categories it masks, what names a stored result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.core.errors import DataError
from benchmark.core.samples import Manifest, Prediction
from benchmark.pipelines.anomaly_dino import references_of
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests.harness import plan_of, predict, run, typed
from tests.parity import toys
from tests.pictures import save_sample
from tests.tiny_models import FEATURES, one_thread  # noqa: F401

TOY = ("pipeline=anomaly_dino", *FEATURES, "pipeline.mask_threshold=0.5")


def context(folder: Path, *, train: int, seed: int = 0) -> Context:
    samples = tuple(
        save_sample(folder / f"{number}.png", toys.picture(number), split="train" if number else "test")
        for number in range(train + 1)
    )
    manifest = Manifest(dataset="toys", samples=samples)
    return Context(manifest=manifest, samples=manifest.test, store=Store(folder / "store"), workers=0, seed=seed)


def predicted(where: Context, *words: str) -> Prediction:
    ((_, found),) = predict(typed(*TOY, *words).pipeline, where)
    return found


def test_planted_defects_stand_out_and_the_result_names_the_good_images(tmp_path: Path) -> None:
    finished = run(
        tmp_path,
        *("dataset=sat_hard", "dataset.n_good=6", "dataset.n_defective=9", "dataset.n_train=12"),
        *("dataset.contrast=2", "dataset.nuisance=0.3", "metric=full"),
        *(*TOY, "pipeline.backbone.side=256", "pipeline.shots=4", "pipeline.angles=[0]", "pipeline.smoothing=1"),
    )
    values = {m.metric: m.value for m in finished.result.metrics if m.category == "mean"}
    assert values["auroc"] is not None and values["auroc"] > 0.9
    used = finished.result.weights[-1]
    assert used.target_data == ("sat",) and "few-shot" in used.name and "4 good images" in used.name
    references = finished.result.tables["references"]
    assert len({row["image"] for row in references}) == 4
    assert all("train" in str(row["image"]) for row in references)


def test_the_seed_chooses_the_good_images(tmp_path: Path) -> None:
    found = []
    for seed in (0, 0, 1, 2, 3):
        folder = tmp_path / f"{len(found)}"
        folder.mkdir()
        found.append(predicted(context(folder, train=5, seed=seed), "pipeline.shots=2"))
    chosen = [str(one.extra["references"]) for one in found]
    assert chosen[0] == chosen[1] and len(set(chosen)) > 1
    np.testing.assert_array_equal(found[0].score_map, found[1].score_map)
    other = next(number for number, names in enumerate(chosen) if names != chosen[0])
    assert not np.array_equal(found[0].score_map, found[other].score_map)


def test_the_background_of_a_masked_category_has_no_score(tmp_path: Path) -> None:
    where = context(tmp_path, train=2)
    whole = predicted(where, "pipeline.masked=[bottle]", "pipeline.smoothing=0")
    assert whole.extra["foreground"] == 1.0 and whole.score_map is not None and whole.score_map.min() > 0
    for masked in ("[toys]", "all"):
        part = predicted(where, f"pipeline.masked={masked}", "pipeline.smoothing=0")
        assert 0 < float(str(part.extra["foreground"])) < 1 and part.score_map is not None
        assert (part.score_map == 0).mean() > 0.05


def test_a_stage_is_named_by_what_changes_its_result_and_by_nothing_else(tmp_path: Path) -> None:
    where = context(tmp_path, train=3)

    def fingerprint(*words: str) -> str:
        (stage,) = plan_of(typed(*TOY, *words).pipeline, where).distinct
        return str(stage.fingerprint)

    base = fingerprint()
    same = ("pipeline.smoothing=1", "pipeline.top=0.5", "pipeline.batch_size=1", "pipeline.mask_threshold=2")
    assert {fingerprint(word) for word in same} == {base}, "cheap settings, and those of masks that are not drawn"
    other = ("pipeline.shots=2", "pipeline.angles=[0]", "pipeline.neighbours=2", "pipeline.backbone.side=64")
    masks = ("pipeline.masked=all", "pipeline.mask_threshold=2"), ("pipeline.masked=all", "pipeline.mask_growth=square")
    several = [("pipeline.masked=all",), *masks, ("pipeline.masked=all", "pipeline.mask_references=true")]
    found = [base, *map(fingerprint, other), *(fingerprint(*words) for words in several)]
    assert len(set(found)) == len(found)


def test_too_few_or_broken_good_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has 1 good training image, pipeline\.shots needs 2"):
        predicted(context(tmp_path, train=1), "pipeline.shots=2")
    where = context(tmp_path, train=2)
    (tmp_path / "1.png").write_bytes(b"no image")
    where.on_error = "record"
    assert not predict(typed(*TOY, "pipeline.shots=2").pipeline, where)
    assert "1 of the 2 good images of toys" in where.failed["0.png"]


def test_references_are_read_from_the_rows() -> None:
    rows = [{"category": "a", "references": "x\ny"}, {"category": "a", "references": "x\ny"}, {"category": "b"}]
    assert references_of(rows) == [{"category": "a", "image": "x"}, {"category": "a", "image": "y"}]

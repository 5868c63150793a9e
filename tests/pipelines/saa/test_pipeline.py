"""SAA, SAA+ and AnomalyVLM with fixed answers in place of the networks: whole maps, switches, and what is computed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark.config.schema import settings_from
from benchmark.core.errors import ConfigError
from benchmark.core.samples import Manifest, Prediction
from benchmark.pipelines.saa.pipeline import SegmentAnyAnomaly
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests import harness
from tests.harness import compose
from tests.pictures import save_sample
from tests.pipelines.saa import naive
from tests.pipelines.saa.fakes import Box, FakeModels
from tests.tiny_models import tiny

WIDTH, HEIGHT = 40, 20
WHOLE = (0.5, 0.5, 0.9, 0.9)
LEFT, RIGHT, SMALL, TALL = (0.25, 0.5, 0.3, 0.5), (0.75, 0.5, 0.2, 0.4), (0.3, 0.5, 0.1, 0.3), (0.6, 0.5, 0.1, 1.0)
SINGLE = {
    "bottle,.": [(WHOLE, 0.8, "bottle,"), (SMALL, 0.5, "bottle,")],
    "defect on bottle.": [(LEFT, 0.4, "defect"), (RIGHT, 0.3, "bottle"), (WHOLE, 0.9, "defect")],
    "damage on bottle.": [(LEFT, 0.4, "damage"), (SMALL, 0.2, "damage on")],
    "broken part. contamination. white broken.": [(RIGHT, 0.25, "broken"), (TALL, 0.15, "white"), (SMALL, 0.1, "")],
}
MULTI = {
    "macaroni,.": [((0.25, 0.25, 0.4, 0.4), 0.8, ""), ((0.7, 0.6, 0.5, 0.4), 0.7, ""), ((0.5, 0.5, 0.9, 0.9), 0.9, "")],
    "defect on macaroni1.": [((0.25, 0.25, 0.2, 0.2), 0.4, "defect"), ((0.7, 0.6, 0.15, 0.1), 0.3, "on")],
}


@cache
def composed(name: str) -> dict[str, Any]:
    values, _ = compose(f"pipeline={name}", *tiny(name), "pipeline.saliency.between_side=1024")
    return {key: value for key, value in values["pipeline"].items() if key != "_target_"}


def pipeline(name: str = "saa_plus", **changes: Any) -> SegmentAnyAnomaly:
    base = composed(name)
    merged = {key: {**base[key], **value} if isinstance(value, dict) else value for key, value in changes.items()}
    return settings_from("pipeline", SegmentAnyAnomaly, {**base, **merged})


def context(folder: Path, category: str, *, dataset: str = "mvtec", images: int = 1) -> Context:
    samples = tuple(
        save_sample(
            folder / f"{n}.png", np.full((HEIGHT, WIDTH, 3), (200, 120, 10 + n), dtype=np.uint8), category=category
        )
        for n in range(images)
    )
    manifest = Manifest(dataset=dataset, samples=samples)
    return Context(manifest=manifest, samples=samples, store=Store(folder / "store"), workers=0)


def predict(settings: SegmentAnyAnomaly, where: Context) -> Prediction:
    ((_, prediction),) = harness.predict(settings, where)
    return prediction


def drawn(prediction: Prediction) -> NDArray[np.float32]:
    assert prediction.regions is not None
    return prediction.regions.score_map()


def rectangle(box: Box) -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    x, y, w, h = box[0] * WIDTH, box[1] * HEIGHT, box[2] * WIDTH, box[3] * HEIGHT
    mask[round(y - h / 2) : round(y + h / 2), round(x - w / 2) : round(x + w / 2)] = True
    return mask


def expected(grid: NDArray[np.float64], boxes: list[tuple[Box, float]], *, k: int) -> NDArray[np.float64]:
    """The released code's map from a saliency grid and the boxes that pass its filters."""
    saliency = cv2.resize(grid, (WIDTH, HEIGHT))
    masks = [rectangle(box) for box, _ in boxes]
    scores = [score * np.exp(3 * saliency[mask].mean()) for mask, (_, score) in zip(masks, boxes, strict=True)]
    total, weight = np.zeros((HEIGHT, WIDTH)), np.ones((HEIGHT, WIDTH))
    for i in np.argsort(scores)[-k:]:
        total += masks[i] * scores[i]
        weight += masks[i]
    return np.asarray(total / weight)


def within(models: FakeModels) -> NDArray[np.float64]:
    return naive.whole_image(models.maps(64), number=400, farthest=True, factor=0.5)


def test_the_whole_map_of_one_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = FakeModels(SINGLE)
    models.install(monkeypatch)
    found = predict(pipeline(), context(tmp_path, "bottle"))
    # RIGHT falls out by its word for the first caption, WHOLE by its area, SMALL at 0.1 by the strict threshold.
    boxes = [(LEFT, 0.4), (LEFT, 0.4), (SMALL, 0.2), (RIGHT, 0.25), (TALL, 0.15)]
    np.testing.assert_allclose(drawn(found), expected(within(models), boxes, k=5), atol=1e-6)
    assert found.extra == {
        "n_candidates": 5,
        "n_regions": 5,
        "object_area": pytest.approx(0.81),
        "max_area": 0.3,
        "top_k": 5,
    }
    assert found.label is True
    assert found.mask is not None and found.mask.sum() == (drawn(found) > 0).sum()


def test_the_whole_map_of_several_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = FakeModels(MULTI)
    models.install(monkeypatch)
    settings = pipeline(saliency={"between_side": 64})
    found = predict(settings, context(tmp_path, "macaroni1", dataset="visa"))
    # The third object box is larger than a fourth of the image, as four objects are expected.
    objects = [rectangle(box) for box, _, _ in MULTI["macaroni,."][:2]]
    small = [cv2.resize(mask.astype(np.int32), (16, 16), interpolation=cv2.INTER_NEAREST) for mask in objects]
    grid = naive.between_objects(models.maps(64), np.array(small, dtype=bool))
    boxes = [(box, score) for box, score, _ in MULTI["defect on macaroni1."]]
    np.testing.assert_allclose(drawn(found), expected(grid, boxes, k=5), atol=1e-6)
    assert "levels 64" in models.calls


def test_networks_see_the_channels_that_the_profile_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = FakeModels(SINGLE)
    models.install(monkeypatch)
    predict(pipeline(), context(tmp_path, "bottle"))
    predict(pipeline(sam_channels="rgb"), context(tmp_path, "bottle"))
    assert [pixel.tolist() for pixel in models.channels] == [[10, 120, 200], [200, 120, 10]]


def test_area_and_number_are_swept_without_asking_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = FakeModels(SINGLE)
    models.install(monkeypatch)
    predict(pipeline(area_ceiling=1.0), context(tmp_path, "bottle"))
    before = dict(models.calls)
    kept = {}
    for area in (0.1, 0.15, 0.3, 0.9):
        for k in (1, 3, 5):
            where = context(tmp_path, "bottle")
            found = predict(pipeline(area_ceiling=1.0, max_area=area, top_k=k), where)
            kept[area, k] = found.extra["n_regions"]
            assert sum(stats.computed for stats in where.stats.values()) == 0
    assert models.calls == before
    # of the object's 0.81: SMALL is 0.03, RIGHT 0.08, TALL 0.1, LEFT 0.15 of the image
    assert [kept[area, 5] for area in (0.1, 0.15, 0.3, 0.9)] == [2, 3, 5, 5]
    assert [kept[0.9, k] for k in (1, 3, 5)] == [1, 3, 5]


def test_without_a_ceiling_only_what_passes_gets_a_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeModels(SINGLE).install(monkeypatch)
    wide = predict(pipeline(max_area=0.1, area_ceiling=1.0), context(tmp_path, "bottle"))
    exact = predict(pipeline(max_area=0.1), context(tmp_path, "bottle"))
    assert (wide.extra["n_candidates"], exact.extra["n_candidates"]) == (5, 2)
    np.testing.assert_array_equal(drawn(wide), drawn(exact))


DEMO = "the defect on the bottle."
BROAD = (0.5, 0.5, 1.0, 0.95)
FALLBACK = [
    # boxes, and which of them the demo keeps
    (
        [(LEFT, 0.4, "defect"), (RIGHT, 0.2, "defect"), (SMALL, 0.3, "bottle"), ((0.5, 0.5, 1, 0.95), 0.9, "the")],
        [LEFT],
    ),
    ([(LEFT, 0.1, "defect"), (RIGHT, 0.19, "on")], [RIGHT]),
    ([(BROAD, 0.9, "the"), (LEFT, 0.1, "defect")], [BROAD]),
    ([(LEFT, 0.1, "defect"), (RIGHT, 0.3, "bottle")], []),
    ([], []),
]


@pytest.mark.parametrize(("boxes", "kept"), FALLBACK)
def test_the_demo_takes_the_best_box_where_none_is_left(
    boxes: list[Any], kept: list[Box], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As caoyunkang/Segment-Any-Anomaly, branch master: zero_shot_ad_demo.py, get_grounding_output."""
    FakeModels({DEMO: boxes}).install(monkeypatch)
    found = predict(pipeline("saa_demo"), context(tmp_path, "bottle"))
    union = np.zeros((HEIGHT, WIDTH), dtype=bool)
    for box in kept:
        union |= rectangle(box)
    assert found.mask is not None and np.array_equal(found.mask, union)
    assert found.extra["n_regions"] == len(kept) and found.extra["object_area"] == 1.0


def test_a_fallback_needs_the_area_rule_on_boxes(tmp_path: Path) -> None:
    for wrong in ({"area_ceiling": 1.0}, {"area_of": "mask"}):
        with pytest.raises(ConfigError, match="fallback=best_box"):
            predict(pipeline("saa_demo", **wrong), context(tmp_path, "bottle"))


def test_a_long_question_is_asked_in_parts_or_cut_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = ". ".join(["crack"] * 60)
    captions = (f"{long}. hole", "dent")
    for how in ("split", "truncate"):
        FakeModels({}).install(monkeypatch)
        where = context(tmp_path / how, "bottle")
        changes = {"prompt_regions": "generic", "generic_captions": captions, "detector": {"long_captions": how}}
        stage = harness.plan_of(pipeline(**changes), where).distinct[0]
        asked = next(one for one in stage.upstream if one.name == "groundingdino").settings["captions"]
        assert len(asked) == (3 if how == "truncate" else 4) and asked[-2:] == ["dent.", "bottle,."]
        assert len(stage.settings["dropped"]) == len(asked) - 1
        assert bool(where.notes) == (how == "truncate") and all("hole" in note for note in where.notes)


def test_nothing_found_is_a_map_of_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeModels({}).install(monkeypatch)
    found = predict(pipeline(), context(tmp_path, "bottle"))
    assert drawn(found).shape == (HEIGHT, WIDTH)
    assert not drawn(found).any()
    assert found.label is False and found.extra["object_area"] == 1


@pytest.mark.parametrize("objects", [0, 1])
def test_fewer_than_two_objects_are_compared_within_the_image(
    objects: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = FakeModels({**MULTI, "macaroni,.": MULTI["macaroni,."][:objects]})
    models.install(monkeypatch)
    found = predict(pipeline(max_area=1), context(tmp_path, "macaroni1", dataset="visa"))
    boxes = [(box, score) for box, score, _ in MULTI["defect on macaroni1."]]
    np.testing.assert_allclose(drawn(found), expected(within(models), boxes, k=5), atol=1e-6)
    assert models.calls == {"detect": 1, "embed": 1, "from_boxes": 2, "levels 64": 1}


def test_one_object_needs_no_object_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = FakeModels(SINGLE)
    models.install(monkeypatch)
    predict(pipeline(), context(tmp_path, "bottle"))
    assert models.calls == {"detect": 1, "embed": 1, "from_boxes": 1, "levels 64": 1}


@pytest.mark.parametrize(
    ("changes", "regions"),
    [
        ({"prompt_rules": False}, 6),
        ({"prompt_numbers": False, "top_k": 3}, 5),
        ({"prompt_regions": "generic"}, 1),
        ({"saliency": {"use": False}}, 5),
        ({"keep_comma": False}, 5),
        ({"rules": [{"measure": "aspect_ratio", "max": 3}]}, 4),
        ({"rules": [{"measure": "x", "max": 0.5}]}, 3),
        ({"rules": [{"measure": "grey", "min": -1, "max": 1}]}, 5),
        ({"area_of": "mask"}, 5),
        ({"thresholds": {"box": 0.3}}, 2),
        ({"thresholds": {"text": 0.5}}, 6),
    ],
    ids=str,
)
def test_each_switch(changes: dict[str, Any], regions: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, Any] = {**SINGLE, "defect.": [(RIGHT, 0.2, "defect")]}
    FakeModels(answers).install(monkeypatch)
    found = predict(pipeline(**{"top_k": 50, **changes}), context(tmp_path, "bottle"))
    assert found.extra["n_regions"] == regions


def test_without_saliency_scores_are_the_detectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = FakeModels(SINGLE)
    models.install(monkeypatch)
    found = predict(pipeline(saliency={"use": False}), context(tmp_path, "bottle"))
    assert found.regions is not None
    np.testing.assert_allclose(np.sort(found.regions.scores), [0.15, 0.2, 0.25, 0.4, 0.4], rtol=1e-6)
    assert not any(name.startswith("levels") for name in models.calls)


def test_vanilla_saa_asks_naive_captions_and_keeps_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = FakeModels({"anomaly.": [(LEFT, 0.4, ""), (WHOLE, 0.3, "")], "defect.": [(LEFT, 0.2, "")]})
    models.install(monkeypatch)
    found = predict(pipeline("saa"), context(tmp_path, "anything"))
    assert found.extra["n_regions"] == 3
    assert drawn(found)[10, 10] == pytest.approx((0.4 + 0.3 + 0.2) / 4)


def test_anomalyvlm_follows_its_paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = FakeModels(
        {"leather.": [(WHOLE, 0.9, "")], "defect.": [(LEFT, 0.4, ""), (WHOLE, 0.5, ""), (SMALL, 0.3, "")]}
    )
    models.install(monkeypatch)
    found = predict(pipeline("anomalyvlm"), context(tmp_path, "leather"))
    grid = naive.whole_image(models.maps(64), number=400, farthest=False, factor=1.0)
    saliency = cv2.resize(grid, (WIDTH, HEIGHT))
    left, small = (s * np.exp(saliency[rectangle(b)].mean()) for b, s in ((LEFT, 0.4), (SMALL, 0.3)))
    assert drawn(found)[10, 7] == pytest.approx(left, rel=1e-5)
    assert drawn(found)[10, 12] == pytest.approx((left + small) / 2, rel=1e-5)
    assert found.extra["n_regions"] == 2


def test_a_decision_by_score_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeModels(SINGLE).install(monkeypatch)
    at = predict(pipeline(decision=0.5), context(tmp_path, "bottle"))
    assert at.mask is not None
    np.testing.assert_array_equal(at.mask, drawn(at) >= np.float32(0.5))
    none = predict(pipeline(decision="none"), context(tmp_path, "bottle"))
    assert none.mask is None and none.label is None


def test_what_cannot_work_is_said_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = FakeModels(SINGLE)
    models.install(monkeypatch)
    with pytest.raises(ConfigError, match=r"thresholds\.box=0\.05 is below"):
        predict(pipeline(thresholds={"box": 0.05}), context(tmp_path, "bottle"))
    with pytest.raises(ConfigError, match=r"no category 'botle';.* did you mean 'bottle'"):
        predict(pipeline(), context(tmp_path, "botle"))
    with pytest.raises(ConfigError, match=r"pipeline\.prompts=mvtek"):
        predict(pipeline(prompts="mvtek"), context(tmp_path, "bottle"))
    with pytest.raises(ConfigError, match="allow_random_weights"):
        predict(pipeline(allow_random_weights=False), context(tmp_path, "bottle"))
    assert models.calls == {}


def test_stages_are_those_that_a_prediction_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeModels(SINGLE).install(monkeypatch)
    where = context(tmp_path, "bottle")
    settings = pipeline()
    stages = harness.plan_of(settings, where).stages["bottle"]
    assert [stage.name for stage in stages] == ["saa_regions", "saa_facts"]
    for stage in stages:
        list(where.run(stage))
    again = context(tmp_path, "bottle")
    predict(settings, again)
    assert {name: stats.computed for name, stats in again.stats.items()} == {"saa_regions": 0, "saa_facts": 0}

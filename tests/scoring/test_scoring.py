"""One prediction under a protocol: sizes, normalisation, labels, failures, and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmark.core.errors import DataError
from benchmark.core.samples import GroundTruth, MaskSet, Prediction, Regions, Sample
from benchmark.scoring.metrics import pool
from benchmark.scoring.metrics.pixel import ap, aupro, auroc, f_beta_max, iou_max
from benchmark.scoring.metrics.tables import dense_table
from benchmark.scoring.metrics.variants import STEPS_200
from benchmark.scoring.scoring import Needs, score
from tests.protocols import protocol

ALL = Needs(tables=True, components=True)
RNG = np.random.default_rng(0)
MAP = RNG.random((20, 30), dtype=np.float32)
MASK = np.zeros((20, 30), dtype=bool)
MASK[4:12, 5:19] = True


def sample(*, defective=True):
    return Sample(
        id="bottle/001.png",
        image=Path("unused"),
        mask=None,
        defective=defective,
        category="bottle",
        defect_type="bad",
        group="1",
        split="test",
        sha256="0",
    )


def scored(prediction, truth=None, *, defective=True, needs=ALL, cache=None, **changes):
    return score(
        sample(defective=defective),
        prediction,
        truth or GroundTruth(mask=MASK),
        protocol=protocol(**changes),
        needs=needs,
        atom_cache=cache,
    )


def assert_same_table(first, second):
    ours, theirs = pool.count([first]), pool.count([second])
    for name in ("score", "tp", "fp", "fp_above", "n_pos", "n_neg", "n_components"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name


def some_regions():
    masks = RNG.random((4, 20, 30)) < 0.3
    return Regions(masks=MaskSet.encode(masks), index=np.array([3, 0, 2]), scores=np.array([0.5, 0.25, 1], np.float32))


@pytest.mark.parametrize(
    ("interpolation", "flag"),
    [("nearest", cv2.INTER_NEAREST), ("linear", cv2.INTER_LINEAR), ("cubic", cv2.INTER_CUBIC)],
)
@pytest.mark.parametrize("ignored", [False, True])
def test_maps_are_resized_as_the_protocol_says_and_masks_by_nearest_neighbour(interpolation, flag, ignored):
    ignore = np.zeros_like(MASK)
    ignore[:, 20:24] = ignored
    truth = GroundTruth(mask=MASK, ignore=ignore if ignored else None)
    image = scored(Prediction(score_map=MAP), truth, size=(40, 50), interpolation=interpolation)
    mask = cv2.resize(MASK.astype(np.uint8), (50, 40), interpolation=cv2.INTER_NEAREST)
    gone = cv2.resize(ignore.astype(np.uint8), (50, 40), interpolation=cv2.INTER_NEAREST).astype(bool)
    wide = MAP.astype(np.float64) if interpolation == "cubic" else MAP
    resized = cv2.resize(wide, (50, 40), interpolation=flag)
    assert_same_table(image.table, dense_table(resized, mask, ignore=gone, components=True))
    assert image.n_pixels == (~gone).sum()
    assert image.n_defect_pixels == (mask.astype(bool) & ~gone).sum()


@pytest.mark.parametrize("size", [None, (20, 30), (33, 47)])
@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("normalisation", ["none", "image"])
def test_regions_score_as_the_map_they_draw(size, interpolation, normalisation):
    regions = some_regions()
    options = {"size": size, "interpolation": interpolation, "normalisation": normalisation}
    from_regions = scored(Prediction(regions=regions), **options)
    from_map = scored(Prediction(score_map=regions.score_map()), **options)
    assert_same_table(from_regions.table, from_map.table)
    assert from_regions.image_score == from_map.image_score


def test_atoms_are_built_once_per_mask_set_and_truth():
    built = {}

    def cache(key, build):
        if key not in built:
            built[key] = build()
        return built[key]

    regions = some_regions()
    fewer = Regions(masks=regions.masks, index=regions.index[:1], scores=regions.scores[:1])
    scored(Prediction(regions=regions), cache=cache)
    scored(Prediction(regions=fewer), cache=cache)
    assert len(built) == 1
    scored(Prediction(regions=regions), GroundTruth(mask=~MASK), cache=cache)
    scored(Prediction(regions=regions), GroundTruth(mask=MASK, ignore=~MASK), cache=cache)
    assert len(built) == 3


def test_a_map_is_stretched_before_it_is_resized():
    image = scored(Prediction(score_map=MAP * 3 - 1), size=(40, 60), interpolation="cubic", normalisation="image")
    wide = (MAP * np.float32(3) - np.float32(1)).astype(np.float64)  # cubic is in float64
    stretched = (wide - wide.min()) / (wide.max() - wide.min())
    mask = cv2.resize(MASK.astype(np.uint8), (60, 40), interpolation=cv2.INTER_NEAREST)
    assert_same_table(
        image.table, dense_table(cv2.resize(stretched, (60, 40), interpolation=cv2.INTER_CUBIC), mask, components=True)
    )
    flat = scored(Prediction(score_map=np.full_like(MAP, 7.0)), normalisation="image")
    assert flat.image_score == 0.0


def test_binary_masks_are_counted_at_the_evaluation_size():
    called = MAP > 0.5
    image = scored(Prediction(mask=called))
    assert (image.mask_tp, image.mask_fp) == ((called & MASK).sum(), (called & ~MASK).sum())
    assert image.table is None
    ignore = MAP > 0.8
    image = scored(Prediction(mask=called), GroundTruth(mask=MASK, ignore=ignore))
    assert image.mask_tp == (called & MASK & ~ignore).sum()
    small = scored(Prediction(mask=called), size=(10, 15))
    assert small.mask_tp == (called[::2, ::2] & MASK[::2, ::2]).sum()


def test_the_image_score_falls_back_to_the_largest_score():
    assert scored(Prediction(score_map=MAP)).image_score == MAP.max()
    assert scored(Prediction(score_map=MAP), needs=Needs(tables=False, components=False)).image_score == MAP.max()
    assert scored(Prediction(score_map=MAP, image_score=-4.0)).image_score == -4.0
    assert scored(Prediction(label=True)).image_score is None
    regions = some_regions()
    without = Needs(tables=False, components=False)
    assert scored(Prediction(regions=regions), needs=without).image_score == regions.score_map().max()


def test_the_label_comes_from_the_folder_or_from_the_mask():
    empty = GroundTruth(mask=np.zeros_like(MASK))
    assert scored(Prediction(), empty).defective
    assert not scored(Prediction(), empty, label_from="mask").defective
    assert scored(Prediction(), label_from="mask", defective=False).defective


@pytest.mark.parametrize("outcome", ["failed", "invalid", "blocked"])
def test_a_failed_answer_counts_as_wrong_in_everything(outcome):
    image = scored(Prediction(outcome=outcome, message="why"))
    counts = pool.count([image.table])
    assert counts.score.tolist() == [-np.inf]
    assert (int(counts.tp[0]), int(counts.fp[0])) == (MASK.sum(), (~MASK).sum())
    assert counts.overlap.tolist() == pytest.approx([1.0])
    assert int(pool.count_at([image.table], np.array([np.inf])).fp[0]) == (~MASK).sum()
    assert (image.mask_tp, image.mask_fp, image.label, image.image_score) == (0, (~MASK).sum(), False, -np.inf)
    good = scored(Prediction(outcome=outcome), GroundTruth(mask=MASK & ~MASK), defective=False)
    assert (good.label, good.image_score) == (True, np.inf)
    assert (good.mask_tp, good.mask_fp) == (0, MASK.size) and good.table.high == np.inf
    kind = scored(Prediction(outcome=outcome), GroundTruth(mask=MASK & ~MASK), defective=False, failures="good")
    assert (kind.label, kind.mask_fp, kind.table.high) == (False, 0, -np.inf)
    assert not image.excluded
    assert scored(Prediction(outcome=outcome), failures="exclude").excluded


@pytest.mark.parametrize("seed", range(8))
def test_nobody_gains_by_an_image_left_out(seed):
    """Whatever the maps, good or bad, and whichever image has none: no metric of pixels or masks rises."""
    rng = np.random.default_rng(seed)
    truths = [rng.random(MASK.shape) < share for share in (0.0, 0.0, 0.2, 0.5, 0.9)]
    maps = [(rng.random(MASK.shape) + rng.normal() * t).astype(np.float32) for t in truths]

    def metrics(left_out):
        images = [
            scored(
                Prediction(outcome="failed") if at == left_out else Prediction(score_map=m, mask=m > 0.5),
                GroundTruth(mask=t),
                defective=bool(t.any()),
            )
            for at, (t, m) in enumerate(zip(truths, maps, strict=True))
        ]
        counts = pool.count([image.table for image in images])
        tp, fp = (sum(getattr(image, name) for image in images) for name in ("mask_tp", "mask_fp"))
        iou = tp / (sum(t.sum() for t in truths) + fp)
        return np.array([float(f(counts)) for f in (ap, auroc, aupro, f_beta_max, iou_max)] + [iou])

    whole = metrics(None)
    for at in range(len(truths)):
        assert (metrics(at) <= whole + 1e-12).all()


def test_good_images_enter_the_pixels_or_not():
    assert scored(Prediction(), defective=False).in_pixels
    assert not scored(Prediction(), defective=False, include_good=False).in_pixels
    assert scored(Prediction(), include_good=False).in_pixels


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (Prediction(score_map=MAP[:5]), "give it at image size"),
        (Prediction(score_map=np.where(MAP > 0.5, np.nan, MAP)), "NaN or infinite"),
        (Prediction(mask=MASK[:5]), "predicted mask"),
        (Prediction(mask=MAP), "not binary"),
        (Prediction(score_map=MAP, regions=some_regions()), "give one of them"),
        (Prediction(image_score=float("nan")), "image score is nan"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_the_name_of_the_image(prediction, message):
    with pytest.raises(DataError, match=message) as caught:
        scored(prediction)
    assert "bottle/001.png" in str(caught.value)


@pytest.mark.parametrize("changes", [{"normalisation": "image"}, {"size": (5, 5), "interpolation": "nearest"}])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused_before_they_are_rescaled_or_resized(bad, changes):
    broken = MAP.copy()
    broken[3, 3] = bad
    with pytest.raises(DataError, match=r"bottle/001\.png: NaN or infinite"):
        scored(Prediction(score_map=broken, image_score=0.5), **changes)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_maps_of_any_span_are_stretched(dtype: type) -> None:
    largest = float(np.finfo(dtype).max)
    ramp = np.linspace(-1.0, 1.0, MAP.size).reshape(MAP.shape)
    for scores in (np.array(ramp * (largest * 0.99), dtype=dtype), np.array(ramp * (largest * 0.4), dtype=dtype)):
        table = scored(Prediction(score_map=scores), normalisation="image").table
        assert (table.score[0], table.score[-1]) == (0.0, 1.0)
        np.testing.assert_allclose(
            table.score, np.linspace(0.0, 1.0, MAP.size), atol=1e-2 if dtype is np.float16 else 1e-6
        )


def test_half_precision_maps_are_stretched_in_single_precision() -> None:
    scores = (np.arange(MAP.size).reshape(MAP.shape) % 1021 + 5).astype(np.float16)
    table = scored(Prediction(score_map=scores), normalisation="image").table
    wide = scored(Prediction(score_map=scores.astype(np.float32)), normalisation="image").table
    assert table.score.dtype == np.float32
    np.testing.assert_array_equal(table.score, wide.score)


def test_integer_maps_are_stretched_without_wrapping_around() -> None:
    scores = np.linspace(-128, 127, MAP.size).round().astype(np.int8).reshape(MAP.shape)
    table = scored(Prediction(score_map=scores), normalisation="image").table
    wide = scored(Prediction(score_map=scores.astype(np.float64)), normalisation="image").table
    np.testing.assert_array_equal(table.score, wide.score)


def test_a_threshold_of_a_category_of_any_span_is_stretched_too() -> None:
    truth = np.zeros((2, 2), dtype=bool)
    truth[0] = True
    table = dense_table(np.array([[1.7e308, 1.6e308], [-1.7e308, 0.0]]), truth)
    assert pool.count_at([table], np.array([0.9]), ends=(table.low, table.high)).tp.tolist() == [2]
    points, _ = STEPS_200.at((table.low, table.high))
    assert np.isfinite(points).all()

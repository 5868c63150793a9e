"""Tiling: any pipeline on parts of an image, put together to what it says of the whole."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.config.pipeline import ImageResults
from benchmark.config.tiling import Tiling, starts
from benchmark.core.errors import BenchmarkError, ConfigError
from benchmark.core.samples import Prediction, Reading, Sample
from benchmark.data.images import image_shape, load_image, squared_as_stored
from benchmark.pipelines.tiles import cut, merge
from tests.data.dataset_trees import save
from tests.harness import ROOT, compose, run
from tests.slow_pipeline import SlowRegions
from tests.tiny_models import one_thread, tiny  # noqa: F401

SHAPE = (70, 90)
OWN = f"hydra.searchpath=['file://{ROOT / 'tests/conf'}']"
FULL = ("metric=full", "protocol.resamples=20")
TILES = ("tiling.size=32", "tiling.overlap=0.25")
POINTWISE = ("pipeline=reference_difference", "pipeline.align.motion=none", "pipeline.smoothing=0",
             "pipeline.threshold=40")  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Images whose every place looks different, so that a tile at a wrong place would show."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 200, (*SHAPE, 3), dtype=np.uint8)
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[20:40, 25:44] = 255
    for place in (
        "train/good/0",
        "train/good/1",
        "train/good/2",
        "test/good/0",
        "test/good/1",
        "test/cut/0",
        "test/cut/1",
    ):
        picture = base + rng.integers(0, 9, base.shape, dtype=np.uint8)
        if "cut" in place:
            picture[20:40, 25:44] += rng.integers(20, 46, (20, 19, 1), dtype=np.uint8)
        save(tmp_path / f"cap/{place}.png", picture)
    for number in range(2):
        save(tmp_path / f"cap/ground_truth/cut/{number}_mask.png", mask)
    return tmp_path / "cap"


def ran(data: Path, *words: str) -> Any:
    return run(data.parent, "dataset=folder", f"dataset.path={data}", *FULL, *words)


def numbers(finished: Any) -> list[dict[str, Any]]:
    return [metric.model_dump() for metric in finished.result.metrics]


def test_tiles_cover_a_side_evenly() -> None:
    assert starts(100, 100, 0.5) == starts(30, 100, 0.0) == [0]
    assert starts(8192, 1024, 0.2)[:3] == [0, 796, 1593] and len(starts(8192, 1024, 0.2)) == 10
    for length in range(17, 120):
        for overlap in (0.0, 0.2, 0.75):
            found = starts(length, 16, overlap)
            assert found[0] == 0 and found[-1] == length - 16
            assert all(0 < b - a <= max(1, int(16 * (1 - overlap))) for a, b in itertools.pairwise(found))


@pytest.mark.parametrize("how", ["maximum", "mean"])
def test_what_looks_at_single_pixels_says_the_same_of_tiles(data: Path, how: str) -> None:
    whole = ran(data, *POINTWISE, "run.export=maps,masks")
    tiles = ran(data, *POINTWISE, *TILES, f"tiling.merge={how}", "run.export=maps,masks")
    assert tiles.result.id != whole.result.id
    assert any("12 of 4 images" in note or "48 of 4 images" in note for note in tiles.result.dataset.notes)
    for name in ("good/0", "cut/1"):
        one, other = (np.load(r.folder / f"export/maps/test/{name}.npy") for r in (whole, tiles))
        assert one.shape == other.shape == SHAPE and np.allclose(one, other, rtol=1e-6, atol=1e-6)
        if how == "maximum":
            assert (one == other).all()
        masks = [np.asarray(Image.open(r.folder / f"export/masks/test/{name}.png")) for r in (whole, tiles)]
        assert (masks[0] == masks[1]).all()
    if how == "maximum":
        assert numbers(tiles) == numbers(whole)


def test_without_it_a_run_is_what_it_was(data: Path) -> None:
    plain = ran(data, *POINTWISE)
    assert "tiling" not in plain.result.config
    assert ran(data, *POINTWISE, "tiling.overlap=0.5", "tiling.merge=mean").result.id == plain.result.id


def test_images_no_larger_than_a_tile_stay_whole_and_share_what_is_stored(data: Path) -> None:
    whole = ran(data, "pipeline=slow_regions", OWN)
    tiles = ran(data, "pipeline=slow_regions", OWN, "tiling.size=90")
    assert numbers(tiles) == numbers(whole)
    assert sum(tiles.result.measured.samples_computed.values()) == 0


def test_networks_learn_from_tiles_and_each_tile_is_stored(data: Path) -> None:
    words = ("pipeline=patchcore", *tiny("patchcore"), *TILES)
    first, second = ran(data, *words), ran(data, *words)
    assert first.result.digest == second.result.digest
    assert first.result.measured.samples_computed["patchcore_distances"] == 4 * 3 * 4
    assert second.result.measured.samples_reused["patchcore_distances"] == 4 * 3 * 4
    assert first.result.metric("auroc").value != ran(data, *words[:-2]).result.metric("auroc").value


@pytest.mark.parametrize("name", ["padim", "anomaly_dino", "musc", "winclip"])
def test_each_kind_of_network_takes_tiles(data: Path, name: str) -> None:
    words = ("tiling.size=48", "tiling.overlap=0", "run.limit=2", "run.export=maps")
    finished = ran(data, f"pipeline={name}", *tiny(name), *words)
    assert finished.result.outcomes == {"ok": 2}
    scores = np.load(finished.folder / "export/maps/test/good/0.npy")
    assert scores.shape == SHAPE and np.isfinite(scores).all()
    # the toy of anomaly_dino finds no foreground here, in whole images neither
    assert name == "anomaly_dino" or len(np.unique(scores)) > 4


def test_shards_share_tiles_out(data: Path) -> None:
    words = ("pipeline=slow_regions", OWN, *TILES)
    alone = ran(data, *words)
    other = data.parent / "sharded"
    place = f"run.cache_root={other}"
    assert ran(data, *words, place, "run.shard=1/2", f"run.results_root={other}") is None
    last = ran(data, *words, place, "run.shard=2/2", f"run.results_root={other}")
    assert last.result.digest == alone.result.digest
    assert (
        last.result.measured.samples_computed["slow"] == 24 and last.result.measured.samples_reused["slow"] == 72 - 24
    )


def test_regions_of_tiles_are_drawn_and_an_odd_tile_fails_its_image(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = SlowRegions._predict

    def predict(self: SlowRegions, one: ImageResults) -> Prediction:
        if one.sample.id == "test/good/0.png#38,39":
            raise ValueError("no light")
        if one.sample.id == "test/good/1.png#0,58":
            return Prediction(outcome="invalid", message="no answer")
        return usual(self, one)

    monkeypatch.setattr(SlowRegions, "_predict", predict)
    (data / "test/cut/0.png").write_bytes(b"no image")
    finished = ran(data, "pipeline=slow_regions", OWN, *TILES, "run.on_error=record", "run.export=maps,csv")
    assert finished.result.outcomes == {"failed": 2, "invalid": 1, "ok": 1}
    from benchmark.results.files import read_rows

    said = dict(read_rows(finished.folder)[["id", "message"]].itertuples(index=False))
    assert "tile 38,39: " in said["test/good/0.png"] and "no light" in said["test/good/0.png"]
    assert said["test/good/1.png"] == "tile 0,58: no answer" and "not an image" in said["test/cut/0.png"]
    assert np.load(finished.folder / "export/maps/test/cut/1.npy").shape == SHAPE


def test_predictions_of_tiles_are_put_together(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.zeros((20, 40, 3), dtype=np.uint8))
    sample = Sample(id="a.png", image=path, mask=None, defective=False, category="cap", defect_type="good",
                    group="a", split="test", sha256="a")  # fmt: skip
    one = cut(sample, Tiling(size=24, overlap=0.0, merge="maximum"), by_place=True)
    assert one.places == ((0, 0, 20, 24), (0, 16, 20, 24))
    assert [t.category for t in one.tiles] == ["cap@0,0", "cap@0,16"] and len({t.sha256 for t in one.tiles}) == 2
    each = [np.full((20, 24), level, dtype=np.float32) for level in (1.0, 3.0)]
    said = [
        Prediction(score_map=each[0], mask=each[0] > 9, image_score=1.0, label=False, rationale="fine",
                   extra={"n": 1, "share": 0.2, "by": "x", "of": "p"}),
        Prediction(score_map=each[1], mask=each[1] > 2, image_score=3.0, label=True, rationale="bad",
                   extra={"n": 2, "share": 0.4, "by": "x", "of": "q"}),
    ]  # fmt: skip
    merged = merge(one, iter(said), "maximum")
    assert (
        merged.score_map is not None and merged.score_map[:, :16].max() == 1.0 and merged.score_map[:, 16:].min() == 3.0
    )
    assert merged.mask is not None and merged.mask.sum() == 20 * 24
    assert (merged.image_score, merged.label, merged.rationale) == (3.0, True, "bad")
    assert merged.extra == {"n": 3, "share": pytest.approx(0.3), "by": "x", "tiles": 2}
    mean = merge(one, iter(said), "mean").score_map
    assert mean is not None and (np.diff(mean[10, 15:25]) > 0).all() and np.allclose(mean[:, [0, -1]], [1, 3])
    assert merge(one, iter([said[0], replace(said[1], score_map=None)]), "mean").score_map is None
    with pytest.raises(BenchmarkError, match="the prediction is"):
        merge(one, iter([said[0], replace(said[1], score_map=each[0][:4])]), "mean")


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "I;16"])
def test_a_part_of_an_image_is_read_as_the_image_is(tmp_path: Path, mode: str) -> None:
    values = np.random.default_rng(0).integers(0, 255, (20, 30, 4), dtype=np.uint8)
    image = (Image.fromarray(values[..., 0].astype(np.uint16) * 200) if mode == "I;16"
             else Image.fromarray(values).convert(mode))  # fmt: skip
    image.save(tmp_path / "whole.png")
    image.crop((4, 3, 19, 15)).save(tmp_path / "part.png")
    part = Reading(crop=(3, 4, 12, 15))
    assert image_shape(tmp_path / "whole.png", part) == (12, 15)
    assert (load_image(tmp_path / "whole.png", part) == load_image(tmp_path / "part.png")).all()
    one, other = (squared_as_stored(tmp_path / n, 8, r) for n, r in (("whole.png", part), ("part.png", Reading())))
    assert (one is None and other is None) or (one == other).all()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pipeline=constant",), "pipeline=constant cannot be tiled: it looks at no image"),
        (("pipeline=resnet_mlp",), "nobody has labelled tiles"),
        (("pipeline=saved", "pipeline.path=conf/hydra"), "its files are of whole images"),
        (("pipeline=gemini", "pipeline.prompts=gemini/generic"), "its reference is a whole image"),
        (("pipeline=reference_difference", "pipeline.reference=a.png"), "pipeline.reference is a whole image"),
        (("pipeline=constant", "tiling.size=4"), r"tiling\.size: give a whole number of 16 or more"),
        (("pipeline=constant", "tiling.overlap=20"), r"tiling\.overlap: give a number from 0 to 0\.75"),
        (("pipeline=constant", "tiling.merge=sum"), r"tiling\.merge: give maximum or mean"),
    ],
)
def test_what_cannot_be_tiled_is_refused(data: Path, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ran(data, *TILES, *words)


def test_a_dry_run_counts_tiles_and_misspelt_keys_are_named(data: Path) -> None:
    from benchmark.config.schema import build
    from benchmark.running.dry_run import outlook

    words = ("dataset=folder", f"dataset.path={data}", "pipeline=slow_regions", OWN, *TILES,
             f"run.cache_root={data.parent / 'none'}")  # fmt: skip
    composed, choices = compose(*words)
    assert any(
        "stage slow: 0 of 48 tiles stored already" in line for line in outlook(build(composed, choices), composed)
    )
    with pytest.raises(ConfigError, match=r"tiling\.sise.*size"):
        compose("tiling.sise=3")

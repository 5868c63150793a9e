"""Images without labels: everything is written, thresholds say where they come from, one bad image is one row."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.cli.commands import call
from benchmark.core.errors import BenchmarkError, ConfigError, DataError, ResultsError
from tests.data.dataset_trees import save
from tests.harness import ROOT, run
from tests.tiny_models import one_thread, tiny  # noqa: F401

SHAPE = (40, 32)
OWN = f"hydra.searchpath=['file://{ROOT / 'tests/conf'}']"


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of good images for training and thresholds, and of new ones; results beside them."""
    for name in ("DATA_ROOT", "RESULTS_ROOT", "BENCH_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    rng = np.random.default_rng(0)

    def picture(bad: bool = False) -> np.ndarray:
        made = rng.integers(90, 110, (*SHAPE, 3), dtype=np.uint8)
        if bad:
            made[8:18, 9:20] += 100
        return made

    for number in range(4):
        save(tmp_path / f"train/{number}.png", picture())
    for number in range(20):
        save(tmp_path / f"good/{number}.png", picture())
    for name, bad in {"a/0": False, "a/1": True, "b/0": True, "b/x y": False}.items():
        save(tmp_path / f"new/{name}.png", picture(bad))
    return tmp_path


def predicted(parts: Path, *words: str) -> tuple[Path, list[dict[str, str]]]:
    given = [f"in={parts / 'new'}", *(w for w in words if not w.startswith("in="))]
    given += [w for w in words if w.startswith("in=")]
    assert call(["predict", *given, f"out={parts / 'out'}"]) == 0
    with (parts / "out/predictions.csv").open(newline="") as file:
        return parts / "out", list(csv.DictReader(file))


def test_everything_is_written_and_a_bad_image_is_a_row(parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (parts / "new/b/broken.png").write_bytes(b"no image")
    save(parts / "new/b/large.png", np.zeros((50, 50, 3), dtype=np.uint8))
    out, rows = predicted(parts, "pipeline=reference_difference", f"train={parts / 'train'}")
    assert [r["image"] for r in rows] == ["a/0.png", "a/1.png", "b/0.png", "b/broken.png", "b/large.png", "b/x y.png"]
    by_name = {r["image"]: r for r in rows}
    assert [by_name[n]["label"] for n in ("a/0.png", "a/1.png", "b/0.png", "b/x y.png")] == ["0", "1", "1", "0"]
    assert by_name["b/broken.png"]["outcome"] == by_name["b/large.png"]["outcome"] == "failed"
    assert "not an image" in by_name["b/broken.png"]["message"] and "50x50" in by_name["b/large.png"]["message"]
    scores = np.load(out / "maps/a/1.npy")
    assert scores.shape == SHAPE and float(by_name["a/1.png"]["score"]) == scores.max()
    mask = np.asarray(Image.open(out / "masks/a/1.png"))
    assert mask[8:18, 9:20].all() and set(np.unique(mask)) == {0, 255}
    assert Image.open(out / "overview.png").size == (6 * 220, SHAPE[0] + 2 + 28)
    assert len(json.loads((out / "coco.json").read_text())["images"]) == 4
    facts = json.loads((out / "predict.json").read_text())
    assert facts["thresholds"] == {} and facts["outcomes"] == {"failed": 2, "ok": 4}
    told = capsys.readouterr().out
    assert "6 images: 4 ok, 2 failed" in told and "2 called defective, as the pipeline itself decides" in told


def test_good_images_set_both_thresholds(parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("pipeline=patchcore", *tiny("patchcore"), f"train={parts / 'train'}")
    _, rows = predicted(parts, *words)
    assert {r["label"] for r in rows} == {""} and "nothing decides which are defective" in capsys.readouterr().out
    (parts / "out/export.json").unlink()
    out, rows = predicted(parts, *words, f"good={parts / 'good'}", "rate=0.2")
    facts = json.loads((out / "predict.json").read_text())["thresholds"]
    assert facts["image"]["origin"] == "image scores of 20 good images, false-alarm rate 0.2"
    assert len(rows) == 4, "the good ones are not among what was asked for"
    assert [r["label"] == "1" for r in rows] == [float(r["score"]) >= facts["image"]["value"] for r in rows]
    mask = np.asarray(Image.open(out / "masks/a/1.png")) > 0
    assert (mask == (np.load(out / "maps/a/1.npy") >= facts["pixel"]["value"])).all()
    assert "threshold of image scores" in capsys.readouterr().out
    with pytest.raises(ResultsError, match="20 good images are too few for a false-alarm rate"):
        predicted(parts, *words, f"good={parts / 'good'}", "rate=0.001", f"out={parts / 'other'}")


def test_a_finished_run_sets_thresholds_if_it_is_of_the_same_settings(parts: Path) -> None:
    for number in range(3):
        for kind in ("good", "cut"):
            picture = np.full((*SHAPE, 3), 100, dtype=np.uint8)
            picture[5:9, 5:9] += 10 * number + (100 if kind == "cut" else 0)
            save(parts / f"cap/test/{kind}/{number}.png", picture)
    for number in range(4):
        save(parts / f"cap/train/good/{number}.png", np.asarray(Image.open(parts / f"train/{number}.png")))
    pipeline = "pipeline=reference_difference"
    finished = run(parts, "dataset=folder", f"dataset.path={parts / 'cap'}", pipeline,
                   f"run.results_root={parts / 'results_root'}")  # fmt: skip
    words = (pipeline, f"train={parts / 'train'}", f"run={finished.result.id}")
    out, rows = predicted(parts, *words)
    facts = json.loads((out / "predict.json").read_text())["thresholds"]
    assert finished.result.id in facts["image"]["origin"] and "least cost on 6 images" in facts["image"]["origin"]
    scores = {r["image"]: float(r["score"]) for r in rows}
    assert {r["image"] for r in rows if r["label"] == "1"} == {
        n for n, s in scores.items() if s >= facts["image"]["value"]
    }
    with pytest.raises(ConfigError, match=r"scores are those of other settings \(smoothing\)"):
        predicted(parts, *words, "pipeline.smoothing=3")


def test_what_is_written_is_read_by_saved(parts: Path) -> None:
    out, _ = predicted(parts, "pipeline=slow_regions", OWN)
    again = parts / "again"
    assert call(["predict", "pipeline=saved", f"pipeline.path={out}", f"in={parts / 'new'}", f"out={again}"]) == 0
    for path in out.rglob("*.npy"):
        assert (np.load(path) == np.load(again / path.relative_to(out))).all()
    assert (again / "predictions.csv").read_text() == (out / "predictions.csv").read_text()


def test_one_image_and_the_usual_place(parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["predict", "pipeline=slow_regions", OWN, f"in={parts / 'new/a/1.png'}", "threshold=0.2"]) == 0
    (folder,) = (parts / "results_root/predictions").iterdir()
    assert (folder / "maps/1.npy").is_file() and str(folder) in capsys.readouterr().out
    assert not (folder.parent.parent / "runs").exists()


REFUSED: dict[str, tuple[tuple[str, ...], type[BenchmarkError], str]] = {
    "no images": ((), ConfigError, "which images"),
    "no such folder": (("in={parts}/nowhere",), DataError, "nowhere: no such folder"),
    "nothing in it": (("in={parts}/empty",), DataError, "no image in it"),
    "a dataset": (("in={parts}/new", "dataset=sat"), ConfigError, "give one of both"),
    "no training": (("in={parts}/new", "pipeline=reference_difference"), DataError, "give them as train=<folder>"),
    "labels": (("in={parts}/new", "pipeline=resnet_mlp"), ConfigError, "it learns from the labels"),
    "prevalence": (
        ("in={parts}/new", "pipeline=constant", "pipeline.policy=prevalence"), ConfigError, "the prevalence is that"),
    "two sources": (("in={parts}/new", "threshold=1", "good={parts}/good"), ConfigError, "threshold and good each set"),
    "rate alone": (("in={parts}/new", "rate=0.1"), ConfigError, "rate is that of good images"),
    "number": (("in={parts}/new", "threshold=high"), ConfigError, "threshold=high: not a number"),
    "shared": (
        ("in={parts}/new", "pipeline=constant", "train={parts}/train", "good={parts}/train"), DataError,
        "a training image too"),
    "good": (("in={parts}/new", "train={parts}/nope"), ConfigError, "train=.*nope: no such folder"),
    "shard": (("in={parts}/new", "run.shard=1/2"), ConfigError, "predictions are not shared out"),
    "word": (("in={parts}/new", "patchcore"), ConfigError, "'patchcore' has no key"),
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_done_is_named(parts: Path, why: str) -> None:
    (parts / "empty").mkdir()
    words, kind, said = REFUSED[why]
    with pytest.raises(kind, match=said):
        call(["predict", *(word.replace("{parts}", str(parts)) for word in words)])


def test_other_predictions_are_not_mixed_and_all_failing_is_an_error(parts: Path) -> None:
    predicted(parts, "pipeline=slow_regions", OWN)
    with pytest.raises(ResultsError, match="holds other predictions"):
        predicted(parts, "pipeline=slow_regions", OWN, "pipeline.top_k=2")
    (parts / "bad").mkdir()
    (parts / "bad/x.png").write_bytes(b"")
    with pytest.raises(ResultsError, match="no image could be predicted"):
        call(["predict", "pipeline=slow_regions", OWN, f"in={parts / 'bad'}", f"out={parts / 'bad out'}"])
    assert "not an image" in (parts / "bad out/predictions.csv").read_text()


def test_a_limit_takes_some_of_them(parts: Path) -> None:
    _, rows = predicted(parts, "pipeline=slow_regions", OWN, "run.limit=2", "run.export_threshold=0.5")
    assert len(rows) == 2 and len(list((parts / "out/masks").rglob("*.png"))) == 2


def test_a_region_of_interest_holds_here_too(parts: Path) -> None:
    roi = np.zeros(SHAPE, dtype=np.uint8)
    roi[20:] = 255
    words = ("pipeline=reference_difference", f"train={parts / 'train'}")
    out, rows = predicted(parts, *words, f"dataset.roi={save(parts / 'roi.png', roi)}")
    assert {r["label"] for r in rows} == {"0"}, "what is bad lies outside"
    scores = np.load(out / "maps/a/1.npy")
    assert float(rows[1]["score"]) == scores.max() == scores[20:].max()


def test_large_images_are_predicted_in_tiles(parts: Path) -> None:
    words = ("pipeline=slow_regions", OWN, "tiling.size=24", "tiling.merge=mean")
    out, rows = predicted(parts, *words)
    assert [r["outcome"] for r in rows] == ["ok"] * 4 and np.load(out / "maps/b/x y.npy").shape == SHAPE
    assert json.loads((out / "predict.json").read_text())["settings"]["tiling"] == {
        "merge": "mean", "overlap": 0.2, "size": 24
    }  # fmt: skip


def test_the_private_images_of_mvtec_ad_2_go_to_its_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for category in ("can", "vial"):
        folder = tmp_path / "data/mvtec_ad_2" / category
        for part in ("train/good", "test_public/good", "test_public/bad", "test_private", "test_private_mixed"):
            for number in range(3):
                save(folder / part / f"{number:03}_regular.png", rng.integers(90, 110, SHAPE, dtype=np.uint8))
                if part.endswith("bad"):
                    mask = folder / "test_public/ground_truth/bad" / f"{number:03}_regular_mask.png"
                    save(mask, np.full(SHAPE, 255, dtype=np.uint8))
    words = ["predict", "pipeline=reference_difference", "dataset=mvtec_ad_2", f"run.data_root={tmp_path / 'data'}"]
    words += [f"run.cache_root={tmp_path / 'cache'}", "dataset.allow_partial=true", "run.export_threshold=4"]
    assert call([*words, f"out={tmp_path / 'out'}"]) == 0
    written = {p.relative_to(tmp_path / "out/mvtec_ad2").as_posix() for p in (tmp_path / "out/mvtec_ad2").rglob("*.*")}
    assert written == {
        f"{kind}/{category}/{part}/{number:03}_regular.{ending}"
        for kind, ending in (("anomaly_images", "tiff"), ("anomaly_images_thresholded", "png"))
        for category in ("can", "vial") for part in ("test_private", "test_private_mixed") for number in range(3)
    }  # fmt: skip
    for wrong, said in (
        (["in=x"], "give one of both"), (["train=x"], "no such folder"), (["category=x"], "brings its own"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            call([*words, *wrong])
    for name in ("mtd", "sat"):
        with pytest.raises(ConfigError, match=f"{name} has no images without labels"):
            call(["predict", "pipeline=reference_difference", f"dataset={name}"])

"""Exports: files that other programs read, and that score as the run did, to the last digit."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.config.pipeline import ImageResults
from benchmark.core.errors import BenchmarkError, ConfigError, DataError, ResultsError
from benchmark.core.samples import Prediction, Sample
from benchmark.pipelines.saved_export import exported_rows
from benchmark.pipelines.saved_files import read_map
from benchmark.results import export_files
from benchmark.results.export import Export
from benchmark.results.export_files import read_regions
from benchmark.results.export_index import EXPORT, read_index
from tests.data.dataset_trees import save
from tests.harness import ROOT, compose, run
from tests.slow_pipeline import SlowRegions
from tests.tiny_models import one_thread, tiny  # noqa: F401

SHAPE = (40, 32)
OWN = f"hydra.searchpath=['file://{ROOT / 'tests/conf'}']"
FULL = ("metric=full", "protocol.resamples=20")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two categories whose images have the same names, with names that trip a spreadsheet or a pattern."""
    rng = np.random.default_rng(0)
    for category in ("cap", "nut"):
        for place in ("train/good/0", "train/good/1", "test/good/0", "test/good/=1", "test/cut/0", "test/cut/{a} b.c"):
            picture = rng.integers(90, 110, (*SHAPE, 3), dtype=np.uint8)
            if "cut" in place:
                picture[8:18, 9:20] += rng.integers(20, 60, dtype=np.uint8)
            save(tmp_path / f"mine/{category}/{place}.png", picture)
        mask = np.zeros(SHAPE, dtype=np.uint8)
        mask[8:18, 9:20] = mask[30:33, 2:5] = 255
        for name in ("0", "{a} b.c"):
            save(tmp_path / f"mine/{category}/ground_truth/cut/{name}_mask.png", mask)
    return tmp_path / "mine"


def ran(data: Path, *words: str) -> Any:
    return run(data.parent, "dataset=folder", f"dataset.path={data}", *words)


def numbers(finished: Any) -> list[dict[str, Any]]:
    return [metric.model_dump() for metric in finished.result.metrics]


PIPELINES: dict[str, tuple[str, ...]] = {
    "map, mask, score and label": ("pipeline=reference_difference",),
    "label and score alone": ("pipeline=constant", "pipeline.policy=prevalence"),
    "regions, image score": ("pipeline=slow_regions", OWN),
    "network, map and score": ("pipeline=patchcore", *tiny("patchcore")),
}


@pytest.mark.parametrize("kind", PIPELINES)
def test_what_is_exported_scores_as_the_run_did(data: Path, kind: str) -> None:
    chosen = (*PIPELINES[kind], *FULL)
    first = ran(data, *chosen, "run.export=[maps,masks,csv,coco]")
    back = ran(data, "pipeline=saved", f"pipeline.path={first.folder / EXPORT}", *FULL)
    assert numbers(back) == numbers(first)
    assert back.result.outcomes == first.result.outcomes == {"ok": 8}
    again = ran(data, *chosen)
    assert (again.result.id, again.result.digest) == (first.result.id, first.result.digest), "an export changes nothing"


@pytest.mark.parametrize("combine", ["max", "mean_with_one", "sum"])
@pytest.mark.parametrize("protocol", ["default", "iap_as"])
def test_regions_of_every_rule_come_back(
    data: Path, monkeypatch: pytest.MonkeyPatch, combine: str, protocol: str
) -> None:
    usual = SlowRegions._predict

    def predict(self: SlowRegions, one: ImageResults) -> Prediction:
        made = usual(self, one)
        assert made.regions is not None
        return replace(made, image_score=None, regions=replace(made.regions, combine=combine))

    monkeypatch.setattr(SlowRegions, "_predict", predict)
    words = (*FULL, f"protocol={protocol}")
    first = ran(data, "pipeline=slow_regions", OWN, *words, "run.export=maps")
    back = ran(data, "pipeline=saved", f"pipeline.path={first.folder / EXPORT}", *words)
    assert numbers(back) == numbers(first) and first.result.metric("aupro").value is not None


REGIONS = {"size": [2, 3], "counts": ["06"], "index": [0], "scores": [0.5], "combine": "max"}
DAMAGED: dict[str, dict[str, Any]] = {
    "cut off": {"counts": ["0"]}, "of another size": {"size": [2, 2]}, "negative": {"size": [-2, -3]},
    "index": {"index": [1]}, "lengths": {"index": [0, 0]}, "nan": {"scores": [float("nan")]},
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_regions_are_refused_before_they_are_decoded(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(REGIONS))
    assert read_regions(path).score_map().tolist() == [[0.5] * 3] * 2
    path.write_text(json.dumps({**REGIONS, **DAMAGED[kind]}))
    with pytest.raises(DataError, match="not the regions of an export"):
        read_regions(path)


def test_rationales_of_any_length_come_back_and_an_empty_table_is_told(data: Path) -> None:
    folder = ran(data, "pipeline=constant", "run.export=csv").folder / EXPORT
    index, image = read_index(folder), "cap/test/good/0.png"
    assert index is not None
    sample = Sample(
        id=image, image=data / image, mask=None, defective=False, category="cap", defect_type="good", group=image,
        split="test", sha256="",
    )  # fmt: skip
    table = folder / "predictions.csv"
    table.write_text(table.read_text().splitlines()[0] + f"\n{image},cap,0.5,pipeline,1,ok,,{'x' * 200_000}\n")
    assert len(exported_rows(folder, index, [sample])[image].rationale or "") == 200_000
    table.write_text("")
    with pytest.raises(DataError, match="empty; export the run again"):
        exported_rows(folder, index, [sample])


def test_answers_that_failed_come_back_with_their_reasons(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = SlowRegions._predict

    def predict(self: SlowRegions, one: ImageResults) -> Prediction:
        if one.sample.id == "cap/test/good/0.png":
            return Prediction(outcome="invalid", message='said "maybe",\nthen nothing')
        return replace(usual(self, one), rationale="=1+1")

    monkeypatch.setattr(SlowRegions, "_predict", predict)
    (data / "nut/test/cut/0.png").write_bytes(b"no image")
    words = (*FULL, "run.on_error=record")
    first = ran(data, "pipeline=slow_regions", OWN, *words, "run.export=[maps,csv]")
    assert first.result.outcomes == {"ok": 6, "invalid": 1, "failed": 1}
    back = ran(data, "pipeline=saved", f"pipeline.path={first.folder / EXPORT}", *words)
    assert numbers(back) == numbers(first) and back.result.outcomes == first.result.outcomes
    with (first.folder / EXPORT / "predictions.csv").open(newline="") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    assert rows["cap/test/good/0.png"]["message"] == 'said "maybe",\nthen nothing'
    assert rows["cap/test/good/=1.png"]["rationale"] == "'=1+1"


def test_nothing_is_computed_for_an_export_of_what_is_stored(data: Path) -> None:
    first = ran(data, "pipeline=slow_regions", OWN)
    assert not (first.folder / EXPORT).exists()
    second = ran(data, "pipeline=slow_regions", OWN, "run.export=maps,csv", "run.overwrite=never")
    assert not second.reused and second.result.digest == first.result.digest
    assert sum(second.result.measured.samples_computed.values()) == 0
    assert len(second.exported) == 2 and "8 in" in second.exported[0]
    index = read_index(second.folder / EXPORT)
    assert index is not None and index.forms == ["maps", "csv"] and index.digest == first.result.digest
    assert ran(data, "pipeline=slow_regions", OWN, "run.export=csv", "run.overwrite=never").reused
    ran(data, "pipeline=slow_regions", OWN, "run.export=coco")
    index = read_index(second.folder / EXPORT)
    assert index is not None and index.forms == ["maps", "csv", "coco"], "forms of the same result add up"


def test_a_kept_result_that_is_another_one_is_not_replaced(data: Path) -> None:
    path = ran(data, "pipeline=constant").folder / "result.json"
    path.write_text(path.read_text().replace('"digest": "', '"digest": "0'))
    before = path.read_bytes()
    with pytest.raises(ResultsError, match="holds another result"):
        ran(data, "pipeline=constant", "run.export=csv", "run.overwrite=never")
    assert path.read_bytes() == before and not (path.parent / "export/export.json").exists()


def test_the_last_shard_exports(data: Path) -> None:
    words = ("pipeline=slow_regions", OWN, "run.export=maps,csv")
    assert ran(data, *words, "run.shard=1/2") is None
    assert not list((data.parent / "results/runs").glob("*/export"))
    assert "8 in" in ran(data, *words, "run.shard=2/2").exported[0]


def test_an_export_that_was_cut_off_is_told(data: Path) -> None:
    folder = ran(data, "pipeline=reference_difference", "run.export=maps,csv").folder / EXPORT
    (folder / "export.json").unlink()
    with pytest.raises(DataError, match="an export that was not finished"):
        ran(data, "pipeline=saved", f"pipeline.path={folder}")
    (folder / "export.json").write_text('{"version": 7}')
    with pytest.raises(DataError, match=r"export\.json: not the index of an export of this version"):
        ran(data, "pipeline=saved", f"pipeline.path={folder}")
    assert ran(data, "pipeline=reference_difference", "run.export=maps,csv").exported, "it is written anew"


def test_a_kill_leaves_whole_files_and_no_index(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    usual, written = export_files.write_map, []

    def write(path: Path, scores: np.ndarray) -> None:
        if len(written) == 3:
            raise Killed
        usual(path, scores)
        written.append(path)

    monkeypatch.setattr("benchmark.results.export.write_map", write)
    with pytest.raises(Killed):
        ran(data, "pipeline=reference_difference", "run.export=maps,csv,coco")
    (folder,) = (data.parent / "results/runs").glob("*/export")
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == sorted(p.name for p in written)
    assert all(np.load(path).shape == SHAPE for path in written)
    monkeypatch.undo()
    whole = ran(data, "pipeline=reference_difference", "run.export=maps,csv,coco")
    back = ran(data, "pipeline=saved", f"pipeline.path={whole.folder / EXPORT}")
    assert back.result.outcomes == {"ok": 8}


def test_images_that_differ_in_their_ending_alone_keep_it(data: Path) -> None:
    save(data / "cap/test/good/0.bmp", np.full((*SHAPE, 3), 7, dtype=np.uint8))
    first = ran(data, "pipeline=reference_difference", *FULL, "run.export=maps,masks,csv")
    assert (first.folder / EXPORT / "maps/cap/test/good/0.bmp.npy").is_file()
    back = ran(data, "pipeline=saved", f"pipeline.path={first.folder / EXPORT}", *FULL)
    assert numbers(back) == numbers(first) and back.result.outcomes == {"ok": 9}


def test_coco_tools_read_both_files(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    usual = SlowRegions._predict

    def perfect(self: SlowRegions, one: ImageResults) -> Prediction:
        made = usual(self, one)
        mask = np.zeros(SHAPE, dtype=bool)
        if one.sample.defective:
            mask[8:18, 9:20] = mask[30:33, 2:5] = True
        assert made.regions is not None
        return replace(made, regions=None, mask=mask, score_map=mask.astype(np.float32) * np.float32(0.5))

    for words, each in ((), None), (("perfect",), 2):
        if words:
            monkeypatch.setattr(SlowRegions, "_predict", perfect)
        folder = ran(data, "pipeline=slow_regions", OWN, "run.export=coco").folder / EXPORT
        truth = COCO(str(folder / "coco.json"))
        assert {i["file_name"] for i in truth.imgs.values()} == {
            p.relative_to(data).as_posix() for p in data.glob("*/test/*/*.png")
        }
        assert sorted(a["area"] for a in truth.anns.values()) == [9] * 4 + [110] * 4
        results = json.loads((folder / "coco_results.json").read_text())
        found = truth.loadRes(str(folder / "coco_results.json"))
        assert all(truth.annToMask(a).shape == SHAPE for a in found.anns.values())
        if each is None:
            assert len(results) > 8
            continue
        assert len(results) == 8 and {r["score"] for r in results} == {0.5}
        judged = COCOeval(truth, found, "segm")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
        assert judged.stats[0] == 1.0


def test_a_threshold_makes_masks_of_maps(data: Path) -> None:
    words = ("pipeline=patchcore", *tiny("patchcore"))
    without = ran(data, *words, "run.export=maps,masks,coco")
    assert "run.export_threshold=" in without.exported[1] and "nothing is marked" in without.exported[2]
    scores = np.load(without.folder / EXPORT / "maps/cap/test/cut/0.npy")
    cut = float(np.median(scores))
    finished = ran(data, *words, "run.export=masks,coco", f"run.export_threshold={cut}")
    assert finished.result.digest == without.result.digest
    mask = np.asarray(Image.open(finished.folder / EXPORT / "masks/cap/test/cut/0.png"))
    assert (mask == np.where(scores >= cut, 255, 0)).all()


def test_the_server_of_mvtec_ad_2_gets_its_layout(data: Path, tmp_path: Path) -> None:
    for name in ("can/test_private/000.png", "can/test_private_mixed/001_shift.png", "can/test_public/good/000.png"):
        path = tmp_path / "ad2" / name
        save(path, np.zeros((*SHAPE, 3), dtype=np.uint8))
    samples = [
        Sample(id=p.relative_to(tmp_path / "ad2").as_posix(), image=p, mask=None, defective=False, category="can",
               defect_type="good", group=p.name, split="test", sha256=p.name)
        for p in sorted((tmp_path / "ad2").rglob("*.png"))
    ]  # fmt: skip
    scores = np.linspace(0, 3, SHAPE[0] * SHAPE[1], dtype=np.float32).reshape(SHAPE)
    with Export(tmp_path / "out", ["mvtec_ad2"], samples, run="r", threshold=2.0) as export:
        for sample in samples:
            export.add(sample, Prediction(score_map=scores), SHAPE, None)
    assert export.finish()[0].startswith("mvtec_ad2: 2 images, 2 thresholded")
    files = sorted(
        p.relative_to(tmp_path / "out/mvtec_ad2").as_posix() for p in (tmp_path / "out/mvtec_ad2").rglob("*.*")
    )
    assert files == [
        "anomaly_images/can/test_private/000.tiff",
        "anomaly_images/can/test_private_mixed/001_shift.tiff",
        "anomaly_images_thresholded/can/test_private/000.png",
        "anomaly_images_thresholded/can/test_private_mixed/001_shift.png",
    ]
    import tifffile

    with tifffile.TiffFile(tmp_path / "out/mvtec_ad2" / files[0]) as file:
        assert file.pages[0].dtype == np.float16 and file.pages[0].shape == SHAPE
    assert (read_map(tmp_path / "out/mvtec_ad2" / files[0]) == scores.astype(np.float16)).all()
    mask = np.asarray(Image.open(tmp_path / "out/mvtec_ad2" / files[2]))
    assert mask.dtype == np.uint8 and (mask == np.where(scores >= 2.0, 255, 0)).all()
    with pytest.raises(ConfigError, match="this run has none; leave mvtec_ad2 out"):
        ran(data, "pipeline=constant", "run.export=mvtec_ad2")
    with (
        pytest.raises(DataError, match="and float16, which the server"),
        Export(tmp_path / "big", ["mvtec_ad2"], samples, run="r", threshold=None) as export,
    ):
        export.add(samples[0], Prediction(score_map=scores * 1e5), SHAPE, None)


def test_words_without_brackets_are_a_list_and_unknown_forms_are_refused() -> None:
    assert compose("run.export=maps,csv")[0]["run"]["export"] == ["maps", "csv"]
    assert compose("run.export=maps")[0]["run"]["export"] == ["maps"]
    from benchmark.config.schema import build

    forms = r"run\.export: give maps, masks, csv, coco, mvtec_ad2 or fiftyone \(got 'mapz'\)"
    with pytest.raises(ConfigError, match=forms):
        build(*compose("run.export=mapz"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(data: Path) -> None:
    folder = ran(data, "pipeline=constant").folder
    folder.chmod(0o500)
    try:
        with pytest.raises(BenchmarkError, match="cannot be written"):
            ran(data, "pipeline=constant", "run.export=csv")
    finally:
        folder.chmod(0o700)

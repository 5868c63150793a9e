"""Folders of score maps as MVTec's evaluation, MVTec AD 2's server and anomalib lay them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.core.errors import BenchmarkError, DataError
from benchmark.core.samples import Sample
from benchmark.pipelines.saved_batches import read_batches
from tests.data.dataset_trees import save
from tests.harness import run
from tests.pipelines.test_saved import SHAPE, data, maps, scored  # noqa: F401

TREES = {
    "anomaly_maps/{path}": "MVTec's evaluation",
    "maps/anomaly_maps/{path}": "MVTec's evaluation",
    "anomaly_images/{path}": "MVTec AD 2's server",
    "results/Padim/mine/{category}/latest/images/{inner}": "anomalib's results",
    "results/Padim/mine/{category}/v3/images/{short}": "anomalib's results",
    "results/Padim/mine/latest/images/{path}": "anomalib's results",
}


def lay(data: Path, tree: str) -> Path:  # noqa: F811
    """Write a map of each image into a tree, and return the folder that a user would name."""
    top = data.parent / "out"
    for image, scores in maps(data).items():
        category, inner = image.removesuffix(".png").split("/", 1)
        short = inner.removeprefix("test/")
        path = top / tree.format(path=f"{category}/{inner}", category=category, inner=inner, short=short)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scores).save(f"{path}.tiff")
    first = tree.split("/", 1)[0]
    return top / first if first in ("results", "maps") else top


def reference(data: Path) -> list[Any]:  # noqa: F811
    for image, scores in maps(data).items():
        path = data.parent / "plain" / image.replace(".png", ".npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, scores)
    return values(scored(data, f"pipeline.path={data.parent / 'plain'}").result)


def values(result: Any) -> list[Any]:
    return [(m.metric, m.category, m.value) for m in result.metrics]


FAST = ("anomaly_maps/{path}", "results/Padim/mine/{category}/latest/images/{inner}")


@pytest.mark.parametrize("tree", [t if t in FAST else pytest.param(t, marks=pytest.mark.slow) for t in TREES])
def test_a_known_layout_is_found_and_named(data: Path, tree: str) -> None:  # noqa: F811
    result = scored(data, f"pipeline.path={lay(data, tree)}").result
    assert result.outcomes == {"ok": 8} and values(result) == reference(data)
    assert any(note.startswith(f"predictions are found as in {TREES[tree]}") for note in result.dataset.notes)


@pytest.mark.slow
def test_the_folder_of_one_category_reads_mvtecs_layout(data: Path) -> None:  # noqa: F811
    folder = lay(data, "anomaly_maps/{path}")
    given = ("dataset=folder", f"dataset.path={data / 'cap'}", "pipeline=saved", f"pipeline.path={folder}")
    assert run(data.parent, *given, "protocol.resamples=0").result.outcomes == {"ok": 4}


@pytest.mark.slow
def test_thresholded_images_of_the_server_are_masks(data: Path) -> None:  # noqa: F811
    folder = lay(data, "anomaly_images/{path}")
    for image, scores in maps(data).items():
        save(folder / "anomaly_images_thresholded" / image, ((scores > 0.6) * 255).astype(np.uint8))
    assert scored(data, f"pipeline.path={folder}", "metric=full").result.metric("iou").value is not None


def test_results_of_two_models_are_not_guessed_between(data: Path) -> None:  # noqa: F811
    lay(data, "results/Padim/mine/{category}/latest/images/{inner}")
    folder = lay(data, "results/Stfpm/mine/{category}/latest/images/{inner}")
    with pytest.raises(DataError, match=r"Padim.* and .*Stfpm.* both hold predictions of the same images; give one"):
        scored(data, f"pipeline.path={folder}")


@pytest.mark.slow
def test_the_newest_run_of_anomalib_counts(data: Path) -> None:  # noqa: F811
    folder = lay(data, "results/Padim/mine/{category}/v10/images/{inner}")
    for path in list(folder.rglob("*.tiff")):
        old = Path(str(path).replace("v10", "v9"))
        old.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros(SHAPE, dtype=np.float32)).save(old)
    assert values(scored(data, f"pipeline.path={folder}").result) == reference(data)


def test_the_results_of_another_category_are_not_taken(data: Path) -> None:  # noqa: F811
    folder = lay(data, "results/Padim/mine/{category}/latest/images/{inner}")
    (folder / "Padim/mine/nut").rename(folder / "Padim/mine/other")
    assert scored(data, f"pipeline.path={folder}").result.outcomes == {"ok": 4, "failed": 4}


def test_pictures_for_people_are_refused_with_what_to_save(data: Path) -> None:  # noqa: F811
    for image in maps(data):
        category, inner = image.split("/", 1)
        save(data.parent / f"results/Padim/mine/{category}/latest/images" / inner, np.zeros((*SHAPE, 3), np.uint8))
    with pytest.raises(
        DataError, match=r"\.png: a picture that anomalib draws for people.*numpy\.savez.*pipeline=anomalib"
    ):
        scored(data, f"pipeline.path={data.parent / 'results'}")


def batches(data: Path, size: int = 3, **fields: Any) -> Path:  # noqa: F811
    """Save predictions as a user of anomalib does: a file a batch, paths of another machine."""
    folder = data.parent / "batches"
    folder.mkdir(exist_ok=True)
    names, scores = list(maps(data)), np.stack(list(maps(data).values()))
    for number, start in enumerate(range(0, len(names), size)):
        some = slice(start, start + size)
        saved: dict[str, Any] = {
            "image": np.zeros((len(names[some]), 3, 4, 4), dtype=np.float32),
            "image_path": np.array([f"/home/me/mine/{name}" for name in names[some]]),
            "anomaly_map": scores[some][:, None],
            "pred_score": scores[some].max(axis=(1, 2))[:, None],
            "pred_label": scores[some].max(axis=(1, 2)) > 0.6,
            "pred_mask": scores[some] > 0.6,
        }
        np.savez(folder / f"{number}.npz", **{**saved, **fields})
    return folder


def test_saved_batches_of_anomalib_are_read(data: Path) -> None:  # noqa: F811
    result = scored(data, f"pipeline.path={batches(data)}", "metric=full").result
    assert result.outcomes == {"ok": 8}
    by_key = {(m.metric, m.category): m.value for m in result.metrics}
    assert all(by_key[metric, category] == value for metric, category, value in reference(data) if value is not None)
    assert result.metric("iou").value is not None
    assert any("read as batches of anomalib (anomaly_map, pred_score" in note for note in result.dataset.notes)
    assert any("threshold on the test images" in note for note in result.dataset.notes)


@pytest.mark.slow
def test_a_file_an_image_is_a_batch_too(data: Path) -> None:  # noqa: F811
    for number, (name, scores) in enumerate(maps(data).items()):
        path = data.parent / f"items/{number}.npz"
        path.parent.mkdir(exist_ok=True)
        np.savez(path, image_path=name.replace("/", "\\"), anomaly_map=scores, pred_score=scores.max())
    assert scored(data, f"pipeline.path={data.parent / 'items'}").result.outcomes == {"ok": 8}


def listed(data: Path) -> list[Sample]:  # noqa: F811
    picture = data / "cap/test/cut/0.png"
    return [
        Sample(id=name, image=picture, mask=None, defective=False, category="cap", defect_type="", group=name,
               split="test", sha256="")
        for name in maps(data)
    ]  # fmt: skip


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "pickled paths": ({"image_path": np.array(["a", None], dtype=object)}, "0.npz: image_path cannot be read"),
    "numbers": ({"image_path": np.arange(3)}, "0.npz: image_path is no list of texts"),
    "lengths": ({"anomaly_map": np.zeros((2, 4, 4))}, "anomaly_map has the shape (2, 4, 4) for 3 images"),
    "colours": ({"anomaly_map": np.zeros((3, 3, 4, 4))}, "row 0, anomaly_map: one channel is needed"),
    "nan": ({"pred_score": np.full(3, np.nan)}, "row 0: pred_score is nan"),
    "no label": ({"pred_label": np.full(3, np.nan)}, "row 0: pred_label is nan; it must be 0 or 1"),
    "many scores": ({"pred_score": np.ones((3, 2))}, "pred_score: one number an image is needed"),
    "twice": ({"image_path": np.array(["cap/test/cut/0.png"] * 3)}, "row 1: cap/test/cut/0.png stands there twice"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_damaged_batch_is_named_and_never_unpickled(data: Path, kind: str) -> None:  # noqa: F811
    fields, said = BAD[kind]
    folder = batches(data, size=2 if kind == "pickled paths" else 3, **fields)
    with pytest.raises(BenchmarkError) as caught:
        found = read_batches(folder, listed(data))
        assert found is not None
        for make in found[0].values():
            make()
    assert said in str(caught.value)


def test_a_batch_that_is_written_anew_is_read_anew(data: Path) -> None:  # noqa: F811
    scores = []
    for value in (1.0, 2.0):
        found = read_batches(batches(data, pred_score=np.full(3, value), size=3), listed(data))
        assert found is not None
        scores.append(next(iter(found[0].values()))().image_score)
    assert scores == [1.0, 2.0]


def test_other_files_among_batches_and_pickles_are_refused(data: Path) -> None:  # noqa: F811
    folder = batches(data)
    np.savez(folder / "9.npz", a=np.ones(3))
    with pytest.raises(DataError, match=r"9\.npz: no batch of anomalib as 0\.npz is"):
        scored(data, f"pipeline.path={folder}")
    (data.parent / "pickles").mkdir()
    (data.parent / "pickles/0.pt").write_bytes(b"x")
    with pytest.raises(DataError, match=r"0\.pt: a pickle, which may run code when it is opened.*numpy\.savez"):
        scored(data, f"pipeline.path={data.parent / 'pickles'}")

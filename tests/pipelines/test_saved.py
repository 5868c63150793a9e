"""Predictions of other programs: every kind of file, names as people have them, and what is wrong named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.core.errors import BenchmarkError, ConfigError, DataError
from benchmark.pipelines.saved_files import read_map, read_mask
from benchmark.report.papers.comparison import compare_runs
from tests.data.dataset_trees import save
from tests.harness import run

SHAPE = (24, 18)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two categories whose images have the same names."""
    rng = np.random.default_rng(0)
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[4:10, 5:12] = 255
    for category in ("cap", "nut"):
        for place in ("train/good/0", "test/good/0", "test/good/1", "test/cut/0", "test/cut/1"):
            save(tmp_path / f"mine/{category}/{place}.png", rng.integers(0, 255, (*SHAPE, 3), dtype=np.uint8))
        for number in range(2):
            save(tmp_path / f"mine/{category}/ground_truth/cut/{number}_mask.png", mask)
    return tmp_path / "mine"


def maps(data: Path) -> dict[str, np.ndarray]:
    """A score map of each test image, by its path: levels of a byte, so that each kind of file can hold them."""
    rng = np.random.default_rng(1)
    found = {}
    for path in sorted(data.glob("*/test/*/*.png")):
        scores = rng.integers(0, 120, SHAPE)
        if "cut" in path.parts:
            scores[4:10, 5:12] += 100
        found[path.relative_to(data).as_posix()] = scores.astype(np.float32) / 255
    return found


WRITERS: dict[str, Callable[[Path, np.ndarray], Any]] = {
    ".npy": np.save,
    ".npz": lambda path, scores: np.savez(path, anomaly_map=scores),
    ".tiff": lambda path, scores: Image.fromarray(scores).save(path),
    "_map.png": lambda path, scores: Image.fromarray((scores * 255).round().astype(np.uint8)).save(path),
    "_anomaly_map.png": lambda path, scores: Image.fromarray((scores * 65535).round().astype(np.uint16)).save(path),
}


def write(folder: Path, name: str, ending: str, scores: np.ndarray) -> None:
    path = folder / f"{name.removesuffix('.png')}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    WRITERS[ending](path, scores)


def scored(data: Path, *words: str) -> Any:
    given = ("dataset=folder", f"dataset.path={data}", "pipeline=saved", *words)
    return run(data.parent, *given, "protocol.resamples=0")


def test_every_kind_of_map_gives_the_same_numbers(data: Path) -> None:
    values = {}
    for number, ending in enumerate(WRITERS):
        folder = data.parent / f"maps{number}"
        for name, scores in maps(data).items():
            write(folder, name, ending, scores)
        result = scored(data, f"pipeline.path={folder}").result
        values[ending] = [(m.metric, m.category, m.value) for m in result.metrics]
        assert result.metric("ap").value is not None and result.metric("image_auroc").value is not None
    first, *others = values.values()
    for other in others:
        assert [row[:2] for row in other] == [row[:2] for row in first]
        for (_, _, one), (_, _, two) in zip(first, other, strict=True):
            assert (one is None) == (two is None) and (one is None or one == pytest.approx(two, abs=1e-6))


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{category}/{type}/{stem}.npy", lambda n: n.replace("/test/", "/")),
        (
            "{category}_{type}_{stem}_x.npy",
            lambda n: n.replace("/test/", "_").replace("/", "_").replace(".png", "_x.png"),
        ),
        ("out/{path}.npy", lambda n: f"out/{n}"),
    ],
)
def test_names_follow_a_pattern(data: Path, pattern: str, name: Callable[[str], str]) -> None:
    for image, scores in maps(data).items():
        write(data.parent / "maps", name(image), ".npy", scores)
    assert scored(data, f"pipeline.path={data.parent / 'maps'}", f"pipeline.maps='{pattern}'").result.outcomes == {
        "ok": 8
    }


def test_masks_scores_and_labels_of_a_table(data: Path) -> None:
    for image, scores in maps(data).items():
        save(data.parent / "out" / image.replace(".png", "_mask.png"), ((scores > 0.6) * 255).astype(np.uint8))
    lines = [f"{image.replace('/', chr(92))};{0.9 if 'cut' in image else 0.1};{'NOK' if 'cut' in image else 'ok'}"
             for image in maps(data)]  # fmt: skip
    table = data.parent / "answers.csv"
    table.write_text("\ufeffFilename;Score; Label\r\n" + "\r\n".join(lines), encoding="utf-8")
    result = scored(data, f"pipeline.path={data.parent / 'out'}", f"pipeline.table={table}", "metric=full").result
    assert result.metric("image_auroc").value == result.metric("f2").value == 1.0
    assert result.metric("iou").value is not None and result.metric("ap").value is None
    table.write_text(table.read_text(encoding="utf-8").replace("0.9", "0.05", 1), encoding="utf-8")
    again = scored(data, f"pipeline.path={data.parent / 'out'}", f"pipeline.table={table}", "metric=full").result
    assert again.id != result.id and again.metric("image_auroc").value != 1.0


def test_other_maps_in_the_same_folder_are_another_run(data: Path) -> None:
    folder = data.parent / "maps"
    for image, scores in maps(data).items():
        write(folder, image, ".npy", scores)
    first = scored(data, f"pipeline.path={folder}").result
    moved = folder.rename(data.parent / "moved")
    assert scored(data, f"pipeline.path={moved}").result.id == first.id, "the place of the folder changes nothing"
    write(moved, "cap/test/cut/0.png", ".npy", np.zeros(SHAPE, dtype=np.float32))
    other = scored(data, f"pipeline.path={moved}").result
    assert other.id != first.id and other.metric("ap").value != first.metric("ap").value


def test_missing_ones_are_rows_or_an_error(data: Path) -> None:
    folder = data.parent / "maps"
    for image, scores in maps(data).items():
        if image != "nut/test/cut/1.png":
            write(folder, image, ".npy", scores)
    result = scored(data, f"pipeline.path={folder}").result
    assert result.outcomes == {"ok": 7, "failed": 1}
    assert any("1 image has no saved prediction, the first is nut/test/cut/1.png" in n for n in result.dataset.notes)
    with pytest.raises(DataError, match=r"no prediction of 1 image, the first is nut/test/cut/1\.png"):
        scored(data, f"pipeline.path={folder}", "pipeline.on_missing=error")


def test_a_map_left_out_raises_no_number_and_comparisons_tell(data: Path) -> None:
    for image, scores in maps(data).items():
        for folder in ("all", "fewer"):
            write(data.parent / folder, image, ".npy", scores)
    (data.parent / "fewer" / "cap" / "test" / "good" / "1.npy").unlink()
    whole, fewer = (scored(data, f"pipeline.path={data.parent / name}") for name in ("all", "fewer"))
    assert fewer.result.outcomes == {"ok": 7, "failed": 1}
    for metric in ("ap", "auroc", "aupro", "f1_max", "image_auroc"):
        assert fewer.result.metric(metric).value < whole.result.metric(metric).value
    notes = compare_runs(whole.folder, fewer.folder).notes
    assert any("1 of 8 images failed, counted as the protocol says" in note for note in notes)


def test_other_sizes_are_an_error_or_a_stated_resize(data: Path) -> None:
    folder = data.parent / "maps"
    for image, scores in maps(data).items():
        write(folder, image, ".npy", scores[::2, ::2])
    with pytest.raises(BenchmarkError, match=r"is 9x12 \(width x height\), the image 18x24"):
        scored(data, f"pipeline.path={folder}")
    for resize in ("linear", "nearest"):
        assert scored(data, f"pipeline.path={folder}", f"pipeline.resize={resize}").result.outcomes == {"ok": 8}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give pipeline.path=<folder of score maps or masks>"),
        (("pipeline.path=nowhere",), "nowhere: no such folder"),
        (("pipeline.path={empty}",), "no prediction of 8 images, the first is cap/test/cut/0.png: expected"),
        (("pipeline.path={empty}", "pipeline.maps='{name}.npy'"), "it knows {path}, {stem}, {category}, {type}"),
        (("pipeline.path={empty}", "pipeline.maps='{path.stem}.npy'"), "it knows {path}, {stem}, {category}, {type}"),
        (("pipeline.table={table}",), ""),
    ],
)
def test_what_is_not_there_is_named(data: Path, words: tuple[str, ...], said: str) -> None:
    (data.parent / "empty").mkdir()
    (data.parent / "answers.csv").write_text("image,comment\ncap/test/cut/0.png,x\n")
    places = {"{empty}": str(data.parent / "empty"), "{table}": str(data.parent / "answers.csv")}
    given = [word.replace("{empty}", places["{empty}"]).replace("{table}", places["{table}"]) for word in words]
    with pytest.raises((ConfigError, DataError)) as caught:
        scored(data, *given)
    assert (said or "needs a column score or label beside image") in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("image,score\n0.png,1\n", "line 2: several images are called 0.png"),
        ("image,score\ncap/test/cut/7.png,1\n", "line 2: no image 'cap/test/cut/7.png'"),
        (
            "image,score\ncap/test/cut/0.png,1\n./cap/test/cut/0.png,2\n",
            "line 3: ./cap/test/cut/0.png stands there twice",
        ),
        ("image,score\ncap/test/cut/0.png,high\n", "line 2: the score 'high' is no number"),
        ("image,score\ncap/test/cut/0.png,nan\n", "must be a finite number"),
        ("image,label\ncap/test/cut/0.png,maybe\n", "line 2: the label 'maybe' is neither OK nor NOK"),
        ("", "needs a column image"),
    ],
)
def test_a_mistake_in_the_table_is_named_with_its_line(data: Path, rows: str, said: str) -> None:
    table = data.parent / "answers.csv"
    table.write_text(rows)
    with pytest.raises(DataError) as caught:
        scored(data, f"pipeline.table={table}")
    assert said in str(caught.value) and "answers.csv" in str(caught.value)


def test_absolute_paths_of_another_machine_are_found_by_their_end(data: Path) -> None:
    table = data.parent / "answers.csv"
    table.write_text("image,score\n" + "".join(f"D:\\photos\\{n}, {i}\n" for i, n in enumerate(maps(data))))
    assert scored(data, f"pipeline.table={table}").result.outcomes == {"ok": 8}


def test_two_files_that_fit_are_not_guessed_between(data: Path) -> None:
    for image, scores in maps(data).items():
        write(data.parent / "maps", image, ".npy", scores)
        write(data.parent / "maps", image, ".tiff", scores)
    with pytest.raises(BenchmarkError, match=r"could both be the map of .*pipeline\.maps"):
        scored(data, f"pipeline.path={data.parent / 'maps'}")


BAD: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "pickled": ("a.npy", lambda p: np.save(p, np.array([{"a": 1}], dtype=object), allow_pickle=True), "NumPy array"),
    "several": ("a.npz", lambda p: np.savez(p, a=np.ones((2, 2)), b=np.ones((2, 2))), "holds 2 arrays"),
    "colours": ("a.png", lambda p: save(p, np.zeros((4, 4, 3), np.uint8)), "one channel is needed"),
    "text": ("a.npy", lambda p: p.write_text("hello"), "NumPy array"),
    "cut": ("a.npy", lambda p: (np.save(p, np.ones((9, 9))), p.write_bytes(p.read_bytes()[:-9])), "NumPy array"),
    "nan": ("a.npy", lambda p: np.save(p, np.full((4, 4), np.nan)), "NaN or infinite"),
    "words": ("a.npy", lambda p: np.save(p, np.array([["a", "b"], ["c", "d"]])), "a score map of numbers"),
    "empty": ("a.npy", lambda p: np.save(p, np.ones(7)), "has the shape"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_is_no_map_is_named_and_never_unpickled(tmp_path: Path, kind: str) -> None:
    name, make, said = BAD[kind]
    make(tmp_path / name)
    with pytest.raises(DataError, match=said) as caught:
        read_map(tmp_path / name)
    assert name in str(caught.value)


def test_axes_of_one_and_integers_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6, dtype=np.int64).reshape(1, 2, 3))
    assert read_map(tmp_path / "a.npy").tolist() == [[0, 1, 2], [3, 4, 5]]
    for shape in ((1, 5), (5, 1), (1, 1)):  # an image of one line, and of one pixel
        for whole in (shape, (1, *shape)):
            np.save(tmp_path / "a.npy", np.zeros(whole))
            assert read_map(tmp_path / "a.npy").shape == shape
    np.save(tmp_path / "b.npy", np.eye(3, dtype=np.float16))
    assert read_map(tmp_path / "b.npy").dtype == np.float32
    assert read_mask(save(tmp_path / "m.png", np.eye(3, dtype=np.uint8))).tolist() == np.eye(3, dtype=bool).tolist()


def test_one_file_is_not_the_prediction_of_several_images(data: Path) -> None:
    for number in range(2):
        write(data.parent / "maps", f"{number}.png", ".npy", np.zeros(SHAPE, dtype=np.float32))
    with pytest.raises(DataError, match=r"0\.npy would be the map of several images, cap/test/cut/0\.png and "):
        scored(data, f"pipeline.path={data.parent / 'maps'}")

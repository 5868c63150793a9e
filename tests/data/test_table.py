"""Tables of images as people have them, and what is wrong with one named by its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.core.errors import BenchmarkError, DataError
from benchmark.core.samples import Manifest
from tests.data.dataset_trees import dataset, save
from tests.harness import run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six photographs, two of them with a defect, and one mask."""
    rng = np.random.default_rng(0)
    for number in range(6):
        pixels = rng.integers(90, 110, (30, 40, 3), dtype=np.uint8)
        if number > 3:
            pixels[5:15, 5:15] = 250
        save(tmp_path / "parts" / f"photo {number}.png", pixels)
    mask = np.zeros((30, 40), dtype=np.uint8)
    mask[5:15, 5:15] = 255
    save(tmp_path / "parts" / "masks" / "4.png", mask)
    return tmp_path / "parts"


def manifest(photos: Path, text: str, name: str = "parts.csv", **changes: Any) -> Manifest:
    (photos / name).write_bytes(text.encode())
    return dataset("table", path=photos / name, **changes).manifest(photos)


PLAIN = "image,label\nphoto 0.png,0\nphoto 4.png,1\n"
READ: dict[str, tuple[str, str]] = {
    "commas": ("a.csv", PLAIN),
    "semicolons": ("a.csv", PLAIN.replace(",", ";")),
    "tabs": ("a.tsv", PLAIN.replace(",", "\t")),
    "byte-order mark": ("a.csv", "\ufeff" + PLAIN),
    "Windows": ("a.csv", PLAIN.replace("\n", "\r\n").replace("photo", ".\\photo")),
    "spaces": ("a.csv", " Image , LABEL \n photo 0.png , 0\nphoto 4.png, 1 \n"),
    "quotes": ("a.csv", 'image,label\n"photo 0.png","0"\n"photo 4.png","1"\n'),
    "words": ("a.csv", "file_name,defective\nphoto 0.png,no\nphoto 4.png,NOK\n"),
    "true and false": ("a.csv", "path,anomaly\nphoto 0.png,False\nphoto 4.png,True\n"),
    "types alone": ("a.csv", "image,defect_type\nphoto 0.png,Good\nphoto 4.png,cut\n"),
    "lines of JSON": ("a.jsonl", '{"image": "photo 0.png", "label": 0}\n\n{"image": "photo 4.png", "label": true}\n'),
    "other columns": ("a.csv", "id,image,label,note\n7,photo 0.png,0,x\n8,photo 4.png,1,\n"),
    "no newline at the end": ("a.csv", PLAIN.rstrip()),
    "./": ("a.csv", PLAIN.replace("photo", "./photo")),
}


@pytest.mark.parametrize("kind", READ)
def test_every_table_of_this_kind_is_read(photos: Path, kind: str) -> None:
    name, text = READ[kind]
    found = manifest(photos, text, name).test
    assert [(s.id, s.defective, s.mask, s.split) for s in found] == [
        ("photo 0.png", False, None, "test"), ("photo 4.png", True, None, "test"),
    ]  # fmt: skip


def test_everything_that_a_row_may_say(photos: Path) -> None:
    text = (
        "image,label,mask,category,defect_type,group,split\n"
        "photo 0.png,0,,cap,,a,train\nphoto 1.png,ok,,cap,,b,test\nphoto 4.png,1,masks/4.png,cap,cut,c,test\n"
        "photo 5.png,1,,nut,dent,c,TEST\n"
    )
    found = manifest(photos, text)
    assert [(s.category, s.defect_type, s.group, s.split) for s in found.samples] == [
        ("cap", "good", "a", "train"), ("cap", "good", "b", "test"), ("cap", "cut", "c", "test"),
        ("nut", "dent", "c", "test"),
    ]  # fmt: skip
    assert found.samples[2].mask == photos / "masks/4.png"
    assert any("1 of 2 defective images have no mask, the first is photo 5.png" in note for note in found.notes)


def test_a_parquet_table_is_read(photos: Path) -> None:
    rows = {"image": ["photo 0.png", "photo 4.png"], "label": [0, 1], "mask": [None, "masks/4.png"]}
    pd.DataFrame(rows).to_parquet(photos / "a.parquet")
    found = dataset("table", path=photos / "a.parquet").manifest(photos).test
    assert [(s.defective, s.mask is not None) for s in found] == [(False, False), (True, True)]


def test_other_names_of_columns_and_another_folder(photos: Path, tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "a.csv").write_text(
        f"Bild,Urteil\nphoto 0.png,io\n{photos.resolve() / 'photo 4.png'},NOK\n".replace("io", "ok")
    )
    columns = {"image": "Bild", "label": "Urteil"}
    found = dataset("table", path=lists / "a.csv", root=photos, columns=columns).manifest(tmp_path).test
    assert [s.id for s in found] == ["photo 0.png", "photo 4.png"]


WRONG: dict[str, tuple[str, str, str]] = {
    "empty": ("a.csv", "", "needs a column image; it has: none"),
    "no image": ("a.csv", "picture,label\nphoto 0.png,0\n", "needs a column image; it has: picture, label"),
    "no label": ("a.csv", "image,note\nphoto 0.png,x\n", "line 2: neither label nor defect_type nor mask"),
    "another word": ("a.csv", "image,label\nphoto 0.png,perhaps\n", "line 2: the label 'perhaps'"),
    "not there": ("a.csv", "image,label\nphoto 9.png,0\n", "line 2: "),
    "twice": ("a.csv", PLAIN + "./photo 0.png,0\n", "line 4: photo 0.png stands there twice"),
    "outside": ("a.csv", "image,label\n../x.png,0\n", "line 2: ../x.png does not lie below"),
    "absolute": ("a.csv", "image,label\n/etc/x.png,0\n", "does not lie below"),
    "another drive": ("a.csv", "image,label\nD:\\x.png,0\n", "does not lie below"),
    "split": ("a.csv", "image,label,split\nphoto 0.png,0,dev\n", "line 2: the split 'dev' is neither train nor test"),
    "unnamed": ("a.csv", "image,label\n,0\n", "line 2: no image is named"),
    "mask not there": ("a.csv", "image,label,mask\nphoto 4.png,1,m.png\n", "m.png is not there"),
    "broken JSON": ("a.jsonl", '{"image": \n', "line 1: not JSON"),
    "a list": ("a.jsonl", "[1]\n", "line 1: needs an object"),
    "no Parquet": ("a.parquet", "hello", "cannot be read as a Parquet table"),
    "a header alone": ("a.csv", "image,label\n", "no image is listed in it; write one row an image"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_named_with_its_place(photos: Path, kind: str) -> None:
    name, text, said = WRONG[kind]
    with pytest.raises(DataError) as caught:
        manifest(photos, text, name)
    assert said in str(caught.value) and str(photos) in str(caught.value)


def test_bytes_that_are_no_text(photos: Path) -> None:
    (photos / "a.csv").write_bytes("image,label\nphöto.png,0\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.csv: not UTF-8 at byte 14; save it as UTF-8"):
        dataset("table", path=photos / "a.csv").manifest(photos)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"path": None}, "dataset=table dataset.path=parts.csv"),
        ({"path": "nowhere.csv"}, "nowhere.csv: no such table"),
        ({"path": "."}, "a folder, not a table"),
        ({"columns": {"lable": "x"}}, "dataset.columns: 'lable' is none of image, label"),
        ({"columns": {"label": "x"}}, "needs a column label"),
        ({"root": "/nowhere/at/all"}, "/nowhere/at/all: no such folder"),
    ],
)
def test_settings_that_cannot_be_are_named(photos: Path, changes: dict[str, Any], said: str) -> None:
    (photos / "parts.csv").write_text(PLAIN)
    with pytest.raises(BenchmarkError) as caught:
        dataset("table", **{"path": photos / "parts.csv", **changes}).manifest(photos)
    assert said in str(caught.value)


def test_a_whole_run_and_the_same_one_whatever_the_table_is_called(photos: Path, tmp_path: Path) -> None:
    rows = [{"image": f"photo {n}.png", "label": int(n > 3), "split": "train" if n < 2 else "test"} for n in range(6)]
    (photos / "a.csv").write_text(
        "image;label;split\n" + "".join(f"{r['image']};{r['label']};{r['split']}\n" for r in rows)
    )
    (photos / "b.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ("dataset=table", "pipeline=reference_difference", "pipeline.threshold=40")
    first, second = (run(tmp_path, *words, f"dataset.path={photos / name}").result for name in ("a.csv", "b.jsonl"))
    assert first.id == second.id and first.digest == second.digest
    assert first.metric("image_auroc").value == 1.0 and first.metric("ap").value is None
    assert (first.dataset.n_good, first.dataset.n_defective) == (2, 2)

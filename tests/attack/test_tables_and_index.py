"""Attacks on tables by odd names, and on the index of a dataset by flipped bits."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.core.table import Grid, csv_text, markdown
from benchmark.data.index import file_facts


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|x", "-1+1|cmd", "@SUM(A1)", "\t=1", " =1", "--1", "+1,2"])
def test_no_cell_of_a_csv_file_is_a_formula(cell: str) -> None:
    (_, row) = csv.reader(io.StringIO(csv_text(Grid(title="t", columns=("a",), rows=((cell,),))), newline=""))
    assert row == [f"'{cell}"]


@pytest.mark.parametrize("cell", ["\r=1", "a\r=1", "a\r\nb", "a\nb"])
def test_a_cell_is_one_cell(cell: str) -> None:
    (_, row) = csv.reader(io.StringIO(csv_text(Grid(title="t", columns=("a",), rows=((cell,),))), newline=""))
    assert row == ["'\n=1" if cell == "\r=1" else cell.replace("\r\n", "\n").replace("\r", "\n")]


@pytest.mark.parametrize("cell", ["-0.5", "+0.0123", "+0.0123 *", "1e-5", "–", "-", "nan", "-inf", "a=b", ""])
def test_numbers_and_plain_texts_stay(cell: str) -> None:
    (_, row) = csv.reader(io.StringIO(csv_text(Grid(title="t", columns=("a", "b"), rows=((cell, "x"),)))))
    assert row == [cell, "x"]


@pytest.mark.parametrize("cell", ["[here](http://x)", "![i](http://x/i.png)", "[a][b](c)"])
def test_no_cell_of_a_markdown_table_is_a_link_or_an_image(cell: str) -> None:
    assert "](" not in markdown(Grid(title=cell, columns=(cell,), rows=((cell,),), notes=(cell,)))


def test_no_flipped_bit_of_an_index_is_believed(tmp_path: Path) -> None:
    import os

    root = tmp_path / "data"
    root.mkdir()
    for k in range(4):
        Image.fromarray(np.full((3, 5), k, dtype=np.uint8)).save(root / f"{k}.png")
        os.utime(root / f"{k}.png", (1_600_000_000, 1_600_000_000))
    files = {f"{k}.png": "image" for k in range(4)}
    wanted = file_facts(root, files, cache=tmp_path / "cache")  # type: ignore[arg-type]
    (index,) = (tmp_path / "cache" / "index").iterdir()
    content, rng = index.read_bytes(), random.Random(19)
    for _ in range(300):
        changed = bytearray(content)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        index.write_bytes(changed)
        assert file_facts(root, files, cache=tmp_path / "cache") == wanted  # type: ignore[arg-type]

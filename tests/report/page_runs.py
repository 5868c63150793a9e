"""Runs and pages for the tests of the report: names and answers that hold markup, a leaderboard of many rows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from PIL import Image

from benchmark.report.charts import json_for_page
from benchmark.results import files

EVIL = "<script>window.hacked=1</script>"
SAID = f"looks fine </p></script>{EVIL}<img src=x onerror='window.hacked=1'>"
EVIL_NAME = "a<script>window.hacked=1<script>.png"


def picture(path: Path, seed: int, *, size: int = 48, spot: bool = False) -> None:
    pixels = np.random.default_rng(seed).integers(90, 110, (2 * size, size), dtype=np.uint8)
    if spot:
        pixels[20:26, 20:26] = 250
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def evil_folder(root: Path) -> Path:
    """A user's folder in MVTec layout in which one file has markup for a name."""
    for i in range(4):
        picture(root / "part" / "train" / "good" / f"{i}.png", i)
        picture(root / "part" / "test" / "good" / f"{i}.png", 10 + i)
    for name in (EVIL_NAME, "b.png", "c.png"):
        picture(root / "part" / "test" / "scratch" / name, 99, spot=name != "c.png")
        mask = np.zeros((96, 48), dtype=np.uint8)
        mask[20:26, 20:26] = 255
        path = root / "part" / "ground_truth" / "scratch" / name.replace(".png", "_mask.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
    return root


def give_rationale(folder: Path, text: str) -> None:
    """Have every row of a run say ``text``, as a model might."""
    table = files.read_rows(folder)
    table["rationale"] = text
    table.to_parquet(folder / files.ROWS, index=False)


def long_board(page_file: Path, place: Path, *, rows: int) -> Path:
    """The page with a leaderboard of many rows: one of its entries over and over."""
    html = page_file.read_text(encoding="utf-8")
    head, data, tail = re.split(r'(?<=id="board-data">)(.*?)(?=</script>)', html, maxsplit=1)
    found = json.loads(data)
    entry = next(e for e in found["entries"] if found["columns"][e["col"]]["name"] == "sat")
    found["rows"] = [{**found["rows"][entry["row"]], "differs": f"setting {at}"} for at in range(rows)]
    found["entries"] = [{**entry, "row": at, "text": f"setting-{at}-"} for at in range(rows)]
    path = place / "long.html"
    path.write_text(head + json_for_page(found) + tail, encoding="utf-8")
    return path

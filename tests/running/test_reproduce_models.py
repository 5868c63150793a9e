"""A paper's table filled to the last public cell: real model classes with tiny random weights over generated data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.report.papers.paper import load_paper
from benchmark.report.papers.paper_table import layout, numbers
from benchmark.running.reproduce import reproduce
from tests.harness import places
from tests.tiny_models import one_thread as one_thread

TEXTURES = ("carpet", "grid", "leather", "tile", "wood")
DATA = (
    "mvtec.allow_partial=true", "pets.allow_partial=true", "pets.subset=null",
    "sat.size=64", "sat.n_good=2", "sat.n_defective=3", "sat.n_train=2",
)  # fmt: skip


def save(path: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def textures(root: Path) -> None:
    """Five categories in MVTec layout, of which a fifth makes two good and two defective images each."""
    rng = np.random.default_rng(0)
    mask = np.zeros((48, 64), dtype=np.uint8)
    mask[10:20, 10:30] = 255
    for category in TEXTURES:
        for i in range(10):
            for place in ("train/good", "test/scratch"):
                save(root / category / place / f"{i:03}.png", rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))
            save(root / category / "ground_truth" / "scratch" / f"{i:03}_mask.png", mask)
        save(root / category / "test" / "good" / "000.png", rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))


def pets(root: Path) -> None:
    """Four cats and four dogs with trimaps."""
    rng = np.random.default_rng(1)
    trimap = np.full((48, 48), 2, dtype=np.uint8)
    trimap[8:40, 8:40], trimap[12:36, 12:36] = 3, 1
    lines = []
    for breed, species in (("Bengal", 1), ("pug", 2)):
        for i in range(4):
            save(root / "images" / f"{breed}_{i}.jpg", rng.integers(0, 255, (48, 48, 3), dtype=np.uint8))
            save(root / "annotations" / "trimaps" / f"{breed}_{i}.png", trimap)
            lines.append(f"{breed}_{i} 1 {species} 1")
    for name, chosen in (("list", lines), ("trainval", lines[::2]), ("test", lines[1::2])):
        (root / "annotations" / f"{name}.txt").write_text("\n".join(chosen) + "\n")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_tiny_models_fill_every_public_cell_of_the_domain_gap_table(tmp_path: Path) -> None:
    textures(tmp_path / "data" / "mvtec")
    pets(tmp_path / "data" / "pets")
    paper = load_paper("domain_gap")
    table = paper.tables["1"]
    planned = reproduce(paper, table, name="all", dry=False, extra=[*places(tmp_path), *DATA, "networks=toy"])
    every = numbers(table, planned)
    assert len(every) == 16
    for n in every:
        if n.row.startswith("IndustrialSAT"):
            assert n.ours is None and n.reason == "private dataset" and n.published is not None
        else:
            assert n.ours is not None and 0.0 <= n.ours <= 1.0, (n.row, n.method, n.reason)
            assert n.meaningless and n.difference is None
    text = "\n".join(cell for row in layout(paper, table, planned).rows for cell in row)
    assert text.count("random weights") == 12
    assert text.count("not run") == 4

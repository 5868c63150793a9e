"""Our side of ``run_official.py``, which no checkout is needed for, and the table of many runs."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.data.images import load_image
from tests.parity import run_official
from tests.parity.official import cases, summary
from tests.parity.official.found import Found


def test_every_method_has_both_sides() -> None:
    for method, sides in run_official.METHODS.items():
        assert all(hasattr(importlib.import_module(f"tests.parity.official.{side}"), method) for side in sides)


@pytest.mark.slow
@pytest.mark.parametrize("method", run_official.METHODS)
def test_our_side_answers_a_drawn_image(method: str, tmp_path: Path) -> None:
    images = cases.images_of([], tmp_path / "images", number=2, seed=0)
    asked = run_official.make_cases(method, images, cases.asked(method, None), shots=1)[:1]
    run_official.write_weights(method, tmp_path, "tiny", seed=0)
    spec: dict[str, Any] = {"size": "tiny", "kernels": None, "groundingdino": None, "cases": asked}
    spec |= {"grid": run_official.GRID["tiny"], "between": 64, "input": [64, 100]}
    ours = importlib.import_module(f"tests.parity.official.{run_official.METHODS[method][1]}")
    (found,) = getattr(ours, method)(tmp_path, spec, [Found(threshold=0.2)])
    drawn = found.map if found.map is not None else found.mask
    assert found.stopped is None and drawn is not None and drawn.shape == cases.SHAPES[0]


def test_odd_files_are_what_they_are_called(tmp_path: Path) -> None:
    files = cases.odd(tmp_path / "odd")
    found = []
    for file in files:
        with Image.open(file) as image:
            found.append((image.size, image.mode))
    assert found[0] == ((1, 200), "RGB") and found[3] == ((1, 1), "RGB") and found[7] == ((47, 61), "CMYK")
    assert {mode for _, mode in found} == {"RGB", "RGBA", "L", "P", "CMYK", "LA", "1"}
    assert [load_image(file).shape[1::-1] for file in files] == [size for size, _ in found]
    assert len(files) == len(cases.ODD) == len(cases.odd_asked("saa_plus")) == len(cases.odd_asked("winclip"))


def row(**values: Any) -> dict[str, Any]:
    return {"note": "", "known": ""} | values


def test_runs_of_a_kind_are_one_row_of_the_table(tmp_path: Path) -> None:
    rows = [
        row(scores=1e-7, map=2e-7, beyond=0, mask=0),
        row(scores=3e-3, map=0.1, beyond=9, mask=4, known="16-bit"),
        row(map=3e-3, beyond=1, mask=2),
        row(note=f"{summary.STOPS}: ValueError"),
    ]
    assert summary.summary(rows)["equal"] == 1 and summary.summary(rows)["compared"] == 2
    for seed, scores in ((3, 1e-7), (4, 2e-6)):
        rows[0]["scores"] = scores
        summary.keep(tmp_path / "runs", summary.summary(rows, label="`x`", size="tiny", seed=seed))
    head, rule, line, _, told = summary.table(tmp_path / "runs").splitlines()
    assert head == summary.HEAD and rule.count("---") == head.count(" | ") + 1
    assert line == (
        "| `x` | tiny | 3, 4 | 8 | 2 of 4 | 2.0e-06 | 3.0e-03 | 4 | 2 16-bit; the official code stops on 2 |"
    )
    assert f"numpy {np.__version__}" in told


def test_a_run_is_named_by_what_was_asked() -> None:
    options = argparse.Namespace(method="saa_plus", shots=0, between=None, size="full", kernels=None, input=None)
    assert run_official.label_of(options, [{"number": 2}]).endswith("several objects, compared at 1024 pixels")
    assert run_official.label_of(options, [{"number": 1}]) == "`saa_plus`"

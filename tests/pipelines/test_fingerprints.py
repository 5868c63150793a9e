"""Stages and runs keep their names: what is stored on disks, and the committed results, are found by them.

``fingerprints.json`` was written before stages were planned once a run; since then only the toy feature network of
patchcore, utad, saa_plus and anomalyvlm has become another one (``tests/parity/backbone.json`` has the real ones of
before), and the paper presets on GroundingDINO run the library's kernels. A change of it means that everybody's stored
stages are computed anew, and is to be said in CHANGELOG.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.config.schema import build
from benchmark.running.run import execute
from tests.data.dataset_trees import save
from tests.harness import compose, places
from tests.pipelines.test_evf_sam import MODEL, TRANSFORMERS
from tests.tiny_models import DETECTOR, SAM, one_thread, tiny  # noqa: F401

PINNED: dict[str, list[list[Any]]] = json.loads(Path(__file__).with_name("fingerprints.json").read_text())
"""Pipeline to name, version and fingerprint of its stages, in the order of the result."""
TRANSFORMS = "from segment_anything.utils.transforms import ResizeLongestSide\n"
NAMED = (*SAM, *DETECTOR, "tagger@pipeline.tagger=category_name", "prompter@pipeline.prompter=static")
"""No tags, whose order could differ by machine, and no language model."""
SETTINGS: dict[str, tuple[str, ...]] = {
    "iap_as": NAMED,
    "iap_as_paper_code": NAMED,
    "iap_as_paper_text": NAMED,
    "saa_plus": ("networks=toy", "pipeline.prompts=generic"),
    "constant": (),
    "reference_difference": (),
    "resnet_mlp": (
        "backbone@pipeline.backbone=resnet18",
        "pipeline.backbone.weights=random",
        "pipeline.backbone.side=64",
        "pipeline.folds=2",
        "pipeline.threshold=0.5",
        "pipeline.epochs=2",
    ),
}
"""What makes an option run here where ``tiny`` does not say it; ``evf_sam`` needs a checkout, see ``checkout``."""


def images(folder: Path) -> str:
    """Write two categories in MVTec layout, whose bytes are the same everywhere; returns the override for them."""
    rng = np.random.default_rng(0)
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[10:20, 10:30] = 255
    for category in ("bolt", "metal_nut"):
        root = folder / "parts" / category
        for place in ("train/good/0", "train/good/1", "train/good/2", "test/good/0", "test/cut/0"):
            save(root / f"{place}.bmp", rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
        save(root / "ground_truth/cut/0_mask.bmp", mask)
    return f"dataset.path={folder / 'parts'}"


def checkout(folder: Path) -> tuple[str, ...]:
    """Write a stand-in for a checkout of EVF-SAM and its weights; returns the overrides for it."""
    texts = {
        "code/model/evf_sam.py": MODEL,
        "code/transformers.py": TRANSFORMERS,
        "code/model/segment_anything/utils/transforms.py": TRANSFORMS,
        "weights/config.json": "{}",
        "weights/model.safetensors": "weights",
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return (
        f"pipeline.checkout={folder / 'code'}",
        f"pipeline.weights={folder / 'weights'}",
        f"pipeline.python={sys.executable}",
        "pipeline.precision=fp32",
    )


@pytest.mark.parametrize("name", sorted(PINNED))
def test_every_stage_keeps_its_fingerprint(name: str, tmp_path: Path) -> None:
    words = checkout(tmp_path / "evf_sam") if name == "evf_sam" else SETTINGS.get(name) or tiny(name)
    composed, choices = compose(*places(tmp_path), "dataset=folder", images(tmp_path), f"pipeline={name}", *words)
    finished = execute(build(composed, choices), composed, command=["test"], thumbnails=False)
    assert finished is not None
    assert [[s.name, s.version, s.fingerprint] for s in finished.result.stages] == PINNED[name]

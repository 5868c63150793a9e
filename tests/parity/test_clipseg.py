"""CLIPSeg against what the authors' code gave on the same weights.

``clipseg.json`` holds every twelfth pixel of the logits. They were computed with timojl/clipseg (77c4e2d;
CLIPDensePredT) on the weights of ``clipseg_toys`` and the pictures of ``toys``. ``run_official.py`` does so for the
network of the real size and for images of your own.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmark.models.clipseg import logits, prepare
from benchmark.models.runtime import Device
from tests.parity import clipseg_toys, toys
from tests.tiny_models import one_thread  # noqa: F401

OFFICIAL = json.loads((Path(__file__).parent / "clipseg.json").read_text())


def test_clipseg_gives_the_official_logits() -> None:
    network = clipseg_toys.small()
    for number, rows in OFFICIAL.items():
        pixels = prepare(toys.picture(int(number)), side=clipseg_toys.SIDE, resize="tensor")
        found = logits(network, pixels, clipseg_toys.TEXTS, device=Device(name="cpu"))
        expected = np.asarray(rows)
        assert np.abs(expected[0] - expected[1]).max() > 1e-2, "texts that say nothing would prove nothing"
        np.testing.assert_allclose(found[:, ::12, ::12], expected, atol=1e-4)

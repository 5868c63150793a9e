"""Run-length codes of masks that lie in a larger image: the very bytes of the code of the whole mask."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.core.run_lengths import placed_code
from benchmark.core.samples import MaskSet


def test_codes_are_those_of_the_whole_mask() -> None:
    draws = np.random.default_rng(0)
    for _ in range(300):
        height, width = (int(v) for v in draws.integers(1, 9, 2))
        h, w = int(draws.integers(1, height + 1)), int(draws.integers(1, width + 1))
        top, left = int(draws.integers(0, height - h + 1)), int(draws.integers(0, width - w + 1))
        mask = draws.random((h, w)) < draws.random()
        whole = np.zeros((1, height, width), dtype=bool)
        whole[0, top : top + h, left : left + w] = mask
        assert placed_code(mask, top=top, left=left, shape=(height, width)) == MaskSet.encode(whole).counts[0]


@pytest.mark.parametrize(("top", "left"), [(-1, 0), (0, 3), (3, 0)])
def test_a_mask_that_leaves_the_image_is_refused(top: int, left: int) -> None:
    with pytest.raises(ValueError, match="leaves an image"):
        placed_code(np.ones((2, 2), dtype=bool), top=top, left=left, shape=(4, 4))

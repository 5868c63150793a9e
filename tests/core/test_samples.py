"""Score maps drawn from regions: the rules by which overlapping scores become one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.samples import Combine, GroundTruth, MaskSet, Regions, combine_scores
from benchmark.scoring.metrics.regions import build_atoms

TOP, LEFT, CORNER = [[1, 1], [0, 0]], [[1, 0], [1, 0]], [[0, 0], [0, 1]]
MASKS = np.array([TOP, LEFT, CORNER], dtype=bool)
SCORES = np.array([0.6, 0.3, 0.1], dtype=np.float32)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("max", [[0.6, 0.6], [0.3, 0.1]]),
        ("mean", [[0.45, 0.6], [0.3, 0.1]]),
        ("mean_with_one", [[0.3, 0.3], [0.15, 0.05]]),
    ],
)
def test_rules_by_hand(rule: Combine, expected: list[list[float]]) -> None:
    regions = Regions(masks=MaskSet.encode(MASKS), index=np.arange(3), scores=SCORES, combine=rule)
    np.testing.assert_allclose(regions.score_map(), expected, rtol=1e-6)


@pytest.mark.parametrize("rule", ["max", "mean", "mean_with_one"])
def test_no_region_is_a_map_of_zeros(rule: Combine) -> None:
    regions = Regions(
        masks=MaskSet.encode(MASKS), index=np.zeros(0, dtype=np.int64), scores=np.zeros(0, np.float32), combine=rule
    )
    assert regions.score_map().dtype == np.float32
    assert not regions.score_map().any()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), rule=st.sampled_from(["max", "mean", "mean_with_one"]))
def test_atoms_score_like_the_drawn_map_to_the_last_bit(seed: int, rule: Combine) -> None:
    rng = np.random.default_rng(seed)
    masks = rng.random((6, 9, 7)) < 0.4
    index = rng.permutation(6)[: rng.integers(0, 7)]
    regions = Regions(
        masks=MaskSet.encode(masks), index=index, scores=rng.random(index.size).astype(np.float32), combine=rule
    )
    atoms = build_atoms(regions.masks, GroundTruth(mask=np.zeros((9, 7), dtype=bool)))
    drawn = regions.score_map()
    by_atom = sorted(np.repeat(atoms.scores(regions), atoms.n_neg).tolist())
    assert by_atom == sorted(drawn.ravel().tolist())


def test_a_place_does_not_depend_on_its_neighbours() -> None:
    whole = combine_scores(MASKS, SCORES, "mean_with_one")
    alone = combine_scores(MASKS[:, :1, :1], SCORES, "mean_with_one")
    assert whole[0, 0] == alone[0, 0]

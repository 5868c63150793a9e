"""PaDiM's maths against naive forms: embeddings, Gaussians in one pass, Mahalanobis distances."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.models import padim
from benchmark.models.padim import choose_channels, embed, fit, mahalanobis


def test_an_embedding_holds_the_chosen_channels_of_all_layers_on_the_finest_grid() -> None:
    draws = np.random.default_rng(0)
    fine, coarse = draws.random((3, 4, 6)).astype(np.float32), draws.random((5, 2, 3)).astype(np.float32)
    channels = torch.tensor([1, 4, 7])
    found = embed((torch.from_numpy(fine), torch.from_numpy(coarse)), channels).numpy()
    for row in range(4):
        for column in range(6):
            expected = [fine[1, row, column], coarse[1, row // 2, column // 2], coarse[4, row // 2, column // 2]]
            np.testing.assert_array_equal(found[row * 6 + column], np.array(expected))


@pytest.mark.parametrize(("images", "group", "block"), [(40, 16, 1 << 26), (40, 7, 1), (5, 16, 200)])
def test_distances_are_those_of_numpy(images: int, group: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(padim, "GROUP", group)
    monkeypatch.setattr(padim, "BLOCK", block)
    draws = np.random.default_rng(1)
    mixing = draws.standard_normal((6, 9, 9))
    values = np.einsum("pde,npe->npd", mixing, draws.standard_normal((images + 1, 6, 9))).astype(np.float32) + 50
    gaussians, count = fit((torch.from_numpy(value) for value in values[:-1]), regularisation=0.01)
    assert count == images
    found = mahalanobis(torch.from_numpy(values[-1]), *map(torch.from_numpy, gaussians)).numpy()
    for place in range(6):
        normal = values[:-1, place].astype(float)
        away = values[-1, place] - normal.mean(0)
        inverse = np.linalg.inv(np.cov(normal, rowvar=False) + 0.01 * np.eye(9))
        assert found[place] == pytest.approx(np.sqrt(away @ inverse @ away), rel=1e-4)


def test_one_image_gives_a_round_gaussian_about_it() -> None:
    value = torch.full((2, 3), 7.0)
    gaussians, count = fit([value], regularisation=0.25)
    assert count == 1
    away = mahalanobis(value + 1, *map(torch.from_numpy, gaussians))
    np.testing.assert_allclose(away.numpy(), np.sqrt(3) / 0.5, rtol=1e-6)
    with pytest.raises(ValueError, match="no image"):
        fit([], regularisation=0.01)


def test_channels_are_chosen_by_the_seed() -> None:
    chosen = choose_channels(448, 100, seed=0)
    assert len(set(chosen.tolist())) == 100 and (np.diff(chosen) > 0).all() and chosen.max() < 448
    np.testing.assert_array_equal(chosen, choose_channels(448, 100, seed=0))
    assert not np.array_equal(chosen, choose_channels(448, 100, seed=1))
    np.testing.assert_array_equal(choose_channels(5, 100, seed=0), np.arange(5))

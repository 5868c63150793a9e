"""MuSc's maths against naive forms: neighbourhoods, mutual scores whatever the order, re-scored images, parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.models.musc import interval_mean, mutual_scores, neighbourhood_vectors, parts_of, rescore

Maps = tuple[torch.Tensor, ...]


def image(seed: int, *shapes: tuple[int, int, int]) -> Maps:
    draws = np.random.default_rng(seed)
    return tuple(
        torch.from_numpy(draws.standard_normal(shape).astype(np.float32)) for shape in shapes or ((6, 4, 5), (9, 4, 5))
    )


def naive_vectors(layer: np.ndarray, size: int) -> np.ndarray:
    channels, height, width = layer.shape
    normal = (layer - layer.mean()) / np.sqrt(layer.var() + 1e-5)
    found = np.zeros((height, width, channels))
    for row in range(height):
        for column in range(width):
            for y in range(row - size // 2, row + size // 2 + 1):
                for x in range(column - size // 2, column + size // 2 + 1):
                    if 0 <= y < height and 0 <= x < width:
                        found[row, column] += normal[:, y, x]
    flat = found.reshape(-1, channels)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def naive_scores(images: list[Maps], which: int, sizes: tuple[int, ...], share: float) -> np.ndarray:
    parts = []
    for size in sizes:
        for layer in range(len(images[0])):
            vectors = [naive_vectors(maps[layer].numpy().astype(float), size) for maps in images]
            others = [v for number, v in enumerate(vectors) if number != which]
            away = np.stack([np.linalg.norm(vectors[which][:, None] - o[None], axis=2).min(1) for o in others], axis=1)
            parts.append(np.sort(away, axis=1)[:, : max(1, int(share * len(others)))].mean(1))
    return np.mean(parts, axis=0)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_neighbourhoods_are_means_of_the_normalised_map_with_zeros_outside(size: int) -> None:
    maps = image(0)
    for found, layer in zip(neighbourhood_vectors(maps, size=size), maps, strict=True):
        np.testing.assert_allclose(found.numpy(), naive_vectors(layer.numpy().astype(float), size), atol=1e-5)


def test_a_coarse_layer_is_brought_to_the_grid_of_the_first() -> None:
    fine, coarse = neighbourhood_vectors(image(0, (6, 8, 8), (9, 4, 4)), size=3)
    assert fine.shape == (64, 6) and coarse.shape == (64, 9)
    np.testing.assert_allclose(coarse.norm(dim=1).numpy(), 1, atol=1e-5)


@pytest.mark.parametrize("share", [0.1, 0.3, 1.0])
def test_mutual_scores_are_those_of_the_formula(share: float) -> None:
    images = [image(seed) for seed in range(8)]
    named = [(f"{number}", maps) for number, maps in enumerate(images)]
    found = mutual_scores(dict(named), named, sizes=(1, 3), share=share)
    for number in range(8):
        np.testing.assert_allclose(found[f"{number}"], naive_scores(images, number, (1, 3), share), atol=1e-5)


def test_scores_depend_on_the_set_alone_and_not_on_order_or_company() -> None:
    named = [(f"{seed * 7 % 10}", image(seed, (40, 14, 14), (112, 7, 7))) for seed in range(9)]
    together = mutual_scores(dict(named), named, sizes=(1, 3), share=0.3)
    for start, step in ((0, 1), (2, 4), (8, -1)):
        for batch in (1, 4):
            others = named[start:] + named[:start]
            wanted = dict(named[::step][:batch])
            for name, scores in mutual_scores(wanted, others, sizes=(1, 3), share=0.3).items():
                np.testing.assert_array_equal(scores, together[name])


def test_a_copy_of_an_image_counts_as_another_image() -> None:
    twice, other = image(0), image(1)
    alone = mutual_scores({"a": twice}, [("a", twice), ("b", other)], sizes=(1,), share=0.3)["a"]
    copied = mutual_scores({"a": twice}, [("a", twice), ("b", other), ("a", twice)], sizes=(1,), share=0.3)["a"]
    assert alone.min() > 0.1 and copied.max() < 2e-3  # the root of what float32 leaves of 2 - 2


def test_a_planted_patch_stands_out_among_images_that_share_all_others() -> None:
    base = image(0, (20, 6, 6))[0]
    named = [(f"{n}", (base + 0.1 * image(n + 1, (20, 6, 6))[0],)) for n in range(6)]
    named[3][1][0][:, 2, 4] = image(99, (20, 6, 6))[0][:, 0, 0]
    scores = mutual_scores(dict(named), named, sizes=(1,), share=0.3)
    assert scores["3"].argmax() == 2 * 6 + 4
    assert max(scores, key=lambda name: scores[name].max()) == "3"


def test_the_interval_is_rounded_down_but_never_empty() -> None:
    distances = np.array([[3, 1, 2, 9]], dtype=np.float32)
    assert interval_mean(distances, 0.3).tolist() == [1.0]
    assert interval_mean(distances, 0.5).tolist() == [1.5]
    assert interval_mean(distances, 0.1).tolist() == [1.0]


def test_image_scores_lean_on_the_most_similar_images() -> None:
    draws = np.random.default_rng(5)
    scores, vectors = draws.random(7), draws.random((7, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled = (scores - scores.min()) / (scores.max() - scores.min())
    expected = np.zeros(7)
    for i in range(7):
        similar = [float(vectors[i] @ vectors[j]) for j in range(7)]
        for k in (1, 3):
            nearest = sorted(range(7), key=lambda j: -similar[j])[:k]
            expected[i] += sum(similar[j] * scaled[j] for j in nearest) / sum(similar[j] for j in nearest) / 2
    np.testing.assert_allclose(rescore(scores, vectors, numbers=(1, 3)), expected, rtol=1e-5)
    np.testing.assert_allclose(rescore(scores, vectors, numbers=(1,)), scaled, rtol=1e-5)
    np.testing.assert_array_equal(rescore(scores, vectors, numbers=()), scores)
    assert not rescore(np.full(7, 0.5), vectors, numbers=(1, 2)).any()
    assert np.isfinite(rescore(scores[:2], vectors[:2], numbers=(1, 9))).all()


def test_parts_hold_every_image_once_whatever_the_order() -> None:
    names = [f"{n:03}" for n in range(95)] + ["003"]
    parts = parts_of(names, most=20, seed=0)
    assert sorted(name for part in parts for name in part) == sorted(names)
    assert len(parts) == 5 and {len(part) for part in parts} <= {19, 20}
    assert parts_of(names[::-1], most=20, seed=0) == parts
    assert parts_of(names, most=20, seed=1) != parts
    assert parts_of(names, most=96, seed=0) == (tuple(sorted(names)),)

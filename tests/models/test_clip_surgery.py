from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.models.clip_surgery import normalise, points_of, similarity_map, surgery


def blobs() -> np.ndarray:
    cells = np.zeros((8, 8), dtype=np.float32)
    cells[0:2, 6:8], cells[4:6, 2:4], cells[6:8, 0:2], cells[2:4, 2:4] = 1, 0.9, -0.5, -0.4
    return cells.reshape(-1)


@pytest.mark.parametrize(
    ("size", "places"),
    [
        ((80, 160), [[60, 50], [140, 10], [20, 70], [60, 30]]),
        ((1024, 1024), [[384, 640], [896, 128], [128, 896], [384, 384]]),
    ],
)
def test_points_are_those_of_the_reference(size: tuple[int, int], places: list[list[int]]) -> None:
    points = points_of(blobs(), size, threshold=0.8, down_sample=2)
    assert points.places.tolist() == places
    assert points.labels.tolist() == [1, 1, 0, 0]


def test_points_of_a_ramp_are_those_of_the_reference() -> None:
    points = points_of(np.arange(196, dtype=np.float32), (300, 500), threshold=0.8, down_sample=2)
    assert points.labels.tolist() == [1] * 12 + [0] * 12
    assert points.places[[0, 11, 12, 23]].tolist() == [[178, 235], [464, 278], [35, 21], [321, 64]]


def test_at_most_half_of_the_cells_become_positive() -> None:
    flat = np.ones(196, dtype=np.float32)
    flat[:2] = 0
    assert points_of(flat, (100, 100), threshold=0.8, down_sample=2).labels.sum() == 24


@pytest.mark.parametrize("flat", [np.ones(196), np.full(196, np.nan), np.zeros(1)])
def test_a_map_without_contrast_gives_no_points(flat: np.ndarray) -> None:
    points = points_of(flat.astype(np.float32), (30, 40), threshold=0.8, down_sample=2)
    assert points.places.shape == (0, 2) and points.labels.shape == (0,)


@settings(max_examples=60, deadline=None)
@given(
    side=st.integers(2, 16),
    seed=st.integers(0, 999),
    size=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    threshold=st.floats(0.05, 1),
)
def test_points_lie_in_the_image_and_come_in_pairs(
    side: int, seed: int, size: tuple[int, int], threshold: float
) -> None:
    flat = np.random.default_rng(seed).normal(size=side * side).astype(np.float32)
    points = points_of(flat, size, threshold=threshold, down_sample=2)
    assert points.labels.sum() * 2 == len(points.labels) == len(points.places)
    assert (points.places >= 0).all() and (points.places < np.array([size[1], size[0]])).all()


V = np.array([[1, 0], [0.6, 0.8], [0, 1]], dtype=np.float32)


def test_surgery_between_labels_is_that_of_the_reference() -> None:
    texts = np.array([[1, 0], [0, 1], [0.8, 0.6]], dtype=np.float32)
    expected = [[0.8106, -0.8508, 0.0402], [0.2482, -0.5688, 0.3205], [-0.2977, -0.0728, 0.3705]]
    np.testing.assert_allclose(surgery(V, texts, None), expected, atol=5e-5)


def test_surgery_against_a_redundant_text_is_that_of_the_reference() -> None:
    found = surgery(V, np.array([[1, 0]], dtype=np.float32), np.array([0.8, 0.6], dtype=np.float32))
    np.testing.assert_allclose(found[:, 0], [0.2, -0.36, -0.6], atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(2, 12), k=st.integers(1, 5))
def test_surgery_between_labels_equals_the_elementwise_form(seed: int, n: int, k: int) -> None:
    draw = np.random.default_rng(seed)
    tokens, texts = (draw.normal(size=(m, 6)).astype(np.float32) for m in (n, k))
    tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    shares = np.exp(2 * tokens[0] @ texts.T)
    shares /= shares.sum()
    features = tokens[:, None, :] * texts[None] * (shares / shares.mean())[None, :, None]
    expected = (features - features.mean(axis=1, keepdims=True)).sum(axis=2)
    np.testing.assert_allclose(surgery(tokens, texts, None), expected, atol=1e-5)


def test_similarity_map_keeps_the_scale() -> None:
    drawn = similarity_map(np.array([-1, -1, 3, 3], dtype=np.float32), (8, 2))
    assert drawn.shape == (8, 2)
    assert drawn[0].tolist() == [-1, -1] and drawn[-1].tolist() == [3, 3]


def test_norms_differ_in_their_axis_only() -> None:
    tokens = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(normalise(tokens, norm="channels"), axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(normalise(tokens, norm="tokens"), axis=0), 1, atol=1e-6)

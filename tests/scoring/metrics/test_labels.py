"""Yes/no metrics against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from benchmark.scoring.metrics import labels


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_labels_agree_with_scikit_learn(seed, n):
    rng = np.random.default_rng(seed)
    called, truth = rng.random(n) < 0.5, rng.random(n) < 0.5
    cells = labels.confusion(called, truth, None)
    if truth.any():
        for beta in (0.5, 1.0, 2.0):
            expected = sk.fbeta_score(truth, called, beta=beta, zero_division=0)
            assert labels.f_beta(cells, beta=beta) == pytest.approx(expected, abs=1e-12)
        assert labels.recall(cells) == pytest.approx(sk.recall_score(truth, called), abs=1e-12)
    else:
        assert np.isnan(labels.f_beta(cells, beta=2.0))
        assert np.isnan(labels.recall(cells))
    if called.any():
        assert labels.precision(cells) == pytest.approx(sk.precision_score(truth, called), abs=1e-12)
    else:
        assert np.isnan(labels.precision(cells))
    if truth.any() and not truth.all():
        expected = sk.balanced_accuracy_score(truth, called)
        assert labels.balanced_accuracy(cells) == pytest.approx(expected, abs=1e-12)
    else:
        assert np.isnan(labels.balanced_accuracy(cells))


@pytest.mark.parametrize(("defective", "good", "f2"), [(32, 231, 0.4092), (76, 253, 0.6003)])
def test_calling_everything_defective_has_a_known_f2(defective, good, f2):
    truth = np.arange(defective + good) < defective
    cells = labels.confusion(np.ones(truth.size, dtype=bool), truth, None)
    assert labels.f_beta(cells, beta=2.0) == pytest.approx(f2, abs=5e-5)


def test_weights_are_multiplicities():
    called, truth = np.array([True, False, True]), np.array([True, True, False])
    cells = labels.confusion(called, truth, np.array([[2.0, 1.0, 0.0], [1.0, 1.0, 1.0]]))
    assert cells.tp.tolist() == [2.0, 1.0]
    assert cells.fn.tolist() == [1.0, 1.0]
    assert cells.fp.tolist() == [0.0, 1.0]


def test_mask_iou_by_hand():
    masks = labels.MaskCounts(tp=np.array([3, 0, 0]), fp=np.array([1, 5, 7]), n_pos=np.array([4, 2, 0]))
    assert labels.image_iou(masks).tolist()[:2] == [3 / 5, 0.0]
    assert np.isnan(labels.image_iou(masks)[2])
    assert labels.iou_mean_defective(masks) == pytest.approx((3 / 5 + 0) / 2)
    assert labels.iou_pooled(masks) == pytest.approx(3 / (6 + 13))
    weights = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]])
    assert labels.iou_mean_defective(masks, weights)[0] == pytest.approx(3 / 5)
    assert np.isnan(labels.iou_mean_defective(masks, weights)[1])
    assert labels.iou_pooled(masks, weights)[0] == pytest.approx(3 / (4 + 1 + 14))

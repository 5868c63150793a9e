"""The classifier on image features: a multi-layer perceptron, cross-validated without splitting a group."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.core.errors import DataError
from benchmark.core.text import counted

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Head:
    """Settings of the classifier: standardised features into a multi-layer perceptron."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    alpha: float
    """L2 penalty."""
    epochs: int
    """Most passes over the training data."""
    balance: bool
    """Weight every image by the inverse frequency of its class."""


@dataclass(frozen=True, kw_only=True)
class OutOfFold:
    """What the cross-validation says of every image; all arrays are in the images' order."""

    probability: Floats
    """(N,) of being defective, from the fold's classifier that did not see the image's group."""
    fold: NDArray[np.int64]
    """(N,) number of the fold, from 0."""
    threshold: Floats
    """(N,) the image is called defective at or above it; chosen without the image's fold."""


def cross_validate(
    features: NDArray[np.float32],
    labels: Bools,
    groups: NDArray[np.int64],
    *,
    folds: int,
    head: Head,
    threshold: float | None,
    inner_folds: int,
    seed: int,
    on_fold: Callable[[int], None] = lambda _: None,
) -> OutOfFold:
    """Predict every image by a classifier that was trained on the other folds.

    Args:
        features: (N, D).
        labels: (N,) True: defective.
        groups: (N,) images of one group share a fold.
        folds: number of folds, stratified by label.
        head: the classifier.
        threshold: fixed probability; None: per fold the one of the highest F2 over the out-of-fold
            predictions of an inner cross-validation of the training folds, so that the held-out fold has
            no part in it.
        inner_folds: folds of that inner cross-validation.
        seed: of the splits and of the classifiers' initial values.
        on_fold: called with the number of folds done.

    Raises:
        DataError: too few groups of a class for the folds.
    """
    from threadpoolctl import threadpool_limits

    probability = np.zeros(len(labels))
    fold_of = np.zeros(len(labels), dtype=np.int64)
    thresholds = np.zeros(len(labels))
    # One BLAS thread: sums keep their order, so the result does not depend on the number of cores.
    with threadpool_limits(limits=1):
        for fold, (train, held) in enumerate(split(labels, groups, folds=folds, seed=seed)):
            fold_of[held] = fold
            probability[held] = fit_predict(features, labels, train, held, head=head, seed=_seed(seed, fold))
            thresholds[held] = (
                threshold
                if threshold is not None
                else inner_threshold(
                    features[train], labels[train], groups[train], folds=inner_folds, head=head, seed=_seed(seed, fold)
                )
            )
            on_fold(fold + 1)
    return OutOfFold(probability=probability, fold=fold_of, threshold=thresholds)


def split(
    labels: Bools, groups: NDArray[np.int64], *, folds: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield (train, held-out) positions, stratified by label, shuffled by the seed, never splitting a group.

    Raises:
        DataError: a class has fewer groups than there are folds, or a fold's training part lacks a class.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    for name, wanted in (("defective", labels), ("good", ~labels)):
        n_groups = len(np.unique(groups[wanted]))
        if n_groups < folds:
            raise DataError(
                f"{folds}-fold cross-validation needs at least {folds} groups with {name} images, there are {n_groups} "
                f"({counted(int(wanted.sum()), 'image')}); use fewer folds (pipeline.folds, "
                f"pipeline.inner_folds) or more images"
            )
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=_seed(seed, 0))
    for train, held in splitter.split(np.zeros(len(labels)), labels, groups):
        if len(np.unique(labels[train])) < 2:
            raise DataError(
                f"one group holds all images of a class but those of {folds - 1} folds, so a training part has one "
                "class only; use fewer folds (pipeline.folds) or smaller groups"
            )
        yield train, held


def fit_predict(
    features: NDArray[np.float32],
    labels: Bools,
    train: NDArray[np.int64],
    held: NDArray[np.int64],
    *,
    head: Head,
    seed: int,
) -> Floats:
    """Train on ``train`` and return the probability of being defective of ``held``, (len(held),)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils.class_weight import compute_sample_weight

    mlp = MLPClassifier(hidden_layer_sizes=head.hidden, alpha=head.alpha, max_iter=head.epochs, random_state=seed)
    model = make_pipeline(StandardScaler(), mlp)
    weight = compute_sample_weight("balanced" if head.balance else None, labels[train])
    with warnings.catch_warnings():
        # The number of epochs is a budget that the settings state, not a failure.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features[train], labels[train], mlpclassifier__sample_weight=weight)
    return np.asarray(model.predict_proba(features[held])[:, list(model.classes_).index(True)], dtype=np.float64)


def inner_threshold(
    features: NDArray[np.float32],
    labels: Bools,
    groups: NDArray[np.int64],
    *,
    folds: int,
    head: Head,
    seed: int,
) -> float:
    """Choose the probability of the highest F2 over out-of-fold predictions of these images alone."""
    probability = np.zeros(len(labels))
    for fold, (train, held) in enumerate(split(labels, groups, folds=folds, seed=seed)):
        probability[held] = fit_predict(features, labels, train, held, head=head, seed=_seed(seed, fold))
    return best_f2_threshold(probability, labels)


def best_f2_threshold(probability: Floats, labels: Bools) -> float:
    """Return the threshold of the highest F2 = 5TP / (4P + TP + FP); the highest one among equals.

    Every distinct probability is tried; an image at the threshold is called defective.
    """
    order = np.argsort(-probability, kind="stable")
    ranked, truth = probability[order], labels[order]
    true_positives = np.cumsum(truth)
    f2 = 5 * true_positives / (4 * labels.sum() + np.arange(1, len(labels) + 1))
    last_of_ties = np.append(ranked[1:] != ranked[:-1], True)
    f2[~last_of_ties] = -1
    return float(ranked[int(np.argmax(f2))])


def merge_groups(names: Sequence[str], contents: Sequence[str]) -> NDArray[np.int64]:
    """Number the groups, (N,), joining those that share an image of the same content.

    Args:
        names: group of each image.
        contents: sha256 of each image.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    group = np.unique(np.asarray(names), return_inverse=True)[1]
    content = np.unique(np.asarray(contents), return_inverse=True)[1] + group.max() + 1
    size = int(content.max()) + 1
    graph = coo_array((np.ones(len(group)), (group, content)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1][group], dtype=np.int64)


def _seed(seed: int, fold: int) -> int:
    """Derive a 32-bit seed that differs by fold."""
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])

"""Metrics of multiple-choice answers: accuracy by task as MMAD counts it, and as its released code does.

Formulas follow arXiv 2410.09453 and jam-cc/MMAD:evaluation/examples/helper/summary.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.core.questions import DETECTION, TASKS, Questions
from benchmark.scoring.metrics.pixel import Values, ratio

CELLS = ("good images", "defective images", *TASKS[1:])
"""What answers are counted in: those of detection questions by the image's label, the others by task."""
RELEASED_LETTERS = frozenset("ABCDE")
"""The letters that the released scorer takes for answers."""


@dataclass(frozen=True, kw_only=True)
class ChoiceCounts:
    """Answers counted in the ``CELLS``; arrays of one shape (..., 8)."""

    right: NDArray[np.float64]
    asked: NDArray[np.float64]
    """An answer that cannot be read, or was never given, is among them and not right."""
    released_right: NDArray[np.float64]
    released_asked: NDArray[np.float64]
    """Of the answers that the released scorer looks at."""

    @classmethod
    def of(cls, marks: NDArray[np.float64]) -> ChoiceCounts:
        """Take counts, (..., 4, 8), apart."""
        return cls(
            right=marks[..., 0, :],
            asked=marks[..., 1, :],
            released_right=marks[..., 2, :],
            released_asked=marks[..., 3, :],
        )


class ReleasedScorer:
    """Which answers MMAD's released scorer looks at, going through all of them in the order of the data.

    It removes an answer that is no letter from A to E from the list that it goes through, so that the one behind it,
    which may be of the next image, is passed over whatever it is. An image of which a question was never answered is
    not in its list at all.
    """

    def __init__(self) -> None:
        """Begin before the first image."""
        self._skip = False

    def counted(self, choices: Sequence[str], keys: Sequence[str]) -> tuple[bool, ...]:
        """Say for each answer of the next image whether it is looked at.

        Args:
            choices: letters, or outcomes in their place (``Prediction.choices``).
            keys: of the questions.
        """
        if any(choice in ("failed", "blocked") for choice in choices):
            return (False,) * len(choices)
        found = []
        for choice, key in zip(choices, keys, strict=True):
            valid = {choice, key} <= RELEASED_LETTERS
            found.append(valid and not self._skip)
            self._skip = not valid and not self._skip
        return tuple(found)


def marks(
    questions: Questions, choices: Sequence[str], counted: Sequence[bool], *, defective: bool
) -> NDArray[np.uint16]:
    """Count the answers of one image, (4, 8) uint16: right and asked, and both as the released scorer does.

    Args:
        questions: of the image.
        choices: letters, or outcomes in their place.
        counted: which of them the released scorer looks at.
        defective: the image's label.
    """
    found = np.zeros((4, len(CELLS)), dtype=np.uint16)
    for asked, choice, looked_at in zip(questions.asked, choices, counted, strict=True):
        cell = int(defective) if asked.task == DETECTION else TASKS.index(asked.task) + 1
        right = choice == asked.key
        found[:, cell] += np.array([right, True, right and looked_at, looked_at], dtype=np.uint16)
    return found


def accuracies(right: NDArray[np.float64], asked: NDArray[np.float64]) -> Values:
    """Return the accuracy of each task, (..., 7): of detection the mean over good and defective images.

    Parameters
    ----------
    right, asked : ndarray of float64, shape (..., 8)
        Answers in each of the ``CELLS``.

    Returns
    -------
    ndarray of float64, shape (..., 7)
        In [0, 1], in the order of ``TASKS``; NaN where nothing was asked, for detection of either label.

    Examples
    --------
    >>> right = np.array([1.0, 3, 2, 0, 0, 0, 0, 0])
    >>> asked = np.array([2.0, 4, 2, 5, 0, 0, 0, 0])
    >>> accuracies(right, asked)[:3].tolist()
    [0.625, 1.0, 0.0]
    """
    each = ratio(right, asked)
    detection = each[..., :2].mean(axis=-1, keepdims=True)
    return np.concatenate((detection, each[..., 2:]), axis=-1)


def task_accuracy(c: ChoiceCounts, *, task: int) -> Values:
    """Return the accuracy of one task; an answer that cannot be read counts wrong.

    Parameters
    ----------
    c : ChoiceCounts
        With any shape of leading axes.
    task : int
        Place among ``TASKS``.

    Returns
    -------
    ndarray of float64, shape (...)
        As :func:`accuracies`.
    """
    found: Values = accuracies(c.right, c.asked)[..., task]
    return found


def mean_accuracy(c: ChoiceCounts) -> Values:
    """Return the mean accuracy over the seven tasks; an answer that cannot be read counts wrong.

    Parameters
    ----------
    c : ChoiceCounts
        With any shape of leading axes.

    Returns
    -------
    ndarray of float64, shape (...)
        In [0, 1]; NaN where a task has no question, detection of either label included.

    References
    ----------
    X. Jiang et al., MMAD, ICLR 2025 (arXiv 2410.09453), Table 2: mean over tasks, of each dataset.
    """
    found: Values = accuracies(c.right, c.asked).mean(axis=-1)
    return found


def released_accuracy(c: ChoiceCounts) -> Values:
    """Return what the released scorer gives: of the answers that it looks at (``ReleasedScorer``).

    Parameters
    ----------
    c : ChoiceCounts
        With any shape of leading axes.

    Returns
    -------
    ndarray of float64, shape (...)
        In [0, 1]; a task of which it looks at no answer is 0, for detection of either label.

    References
    ----------
    jam-cc/MMAD:evaluation/examples/helper/summary.py, at bad03b4.
    """
    found: Values = accuracies(c.released_right, np.maximum(c.released_asked, 1.0)).mean(axis=-1)
    return found


def images_behind(function: Callable[[ChoiceCounts], Values], asked: NDArray[np.float64]) -> int:
    """Return how many images a metric rests on: as many as were asked in the cell of its that has the fewest.

    Args:
        function: of the metric; one that needs no cell rests on all of them.
        asked: images with a question, for each of the ``CELLS``, (8,).
    """
    each = 1.0 - np.eye(len(CELLS))  # in each row another cell without a question
    needed = np.isnan(function(ChoiceCounts(right=each, asked=each, released_right=each, released_asked=each)))
    return int(asked[needed].min() if needed.any() else asked.min())


def lacking(asked: NDArray[np.float64]) -> str:
    """Name what nothing was asked about, (8,)."""
    names = [f"whether {name} are defective" if at < 2 else name for at, name in enumerate(CELLS) if not asked[at]]
    return f"no question of: {', '.join(names)}"

"""A run that looks at a region of interest alone: what is predicted and true inside, and what to tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.config.schema import Dataset as AnyDataset
from benchmark.core.samples import GroundTruth, Prediction, Sample
from benchmark.core.text import counted
from benchmark.data.dataset import Dataset

if TYPE_CHECKING:
    from benchmark.data.interest import Interest
    from benchmark.stages.context import Context


def interest_of(dataset: AnyDataset) -> Interest | None:
    """Return which pixels of a dataset count; None: all, or it has no such setting."""
    return dataset.interest() if isinstance(dataset, Dataset) else None


class Inside:
    """Restricts predictions and ground truths to the region of interest; changes nothing where there is none.

    Args:
        interest: which pixels count.
        context: of the run; its notes get what a reader must know.

    Raises:
        ConfigError: a category has no mask.
    """

    def __init__(self, interest: Interest | None, context: Context) -> None:
        self._interest, self._context = interest, context
        self._lost: dict[str, None] = {}
        self._scored_whole = 0
        if interest is not None:
            interest.check(context.categories)

    def truth(self, sample: Sample, truth: GroundTruth) -> GroundTruth:
        """Return the ground truth inside; that of an image that cannot be read stays.

        Raises:
            DataError: the region of interest does not fit the image.
        """
        from benchmark.scoring.inside import truth_inside

        height, width = truth.mask.shape
        if self._interest is None or (height, width) == (0, 0):
            return truth
        roi = self._interest.of(sample, (height, width))
        if roi is None:
            return truth
        inside = truth_inside(truth, roi)
        if truth.mask.any() and not inside.mask.any():
            self._lost[sample.id] = None
        return inside

    def prediction(self, sample: Sample, prediction: Prediction, shape: tuple[int, int]) -> Prediction:
        """Return the prediction inside, for an image of (H, W); raises DataError as ``truth`` does."""
        from benchmark.scoring.inside import prediction_inside

        roi = None if self._interest is None else self._interest.of(sample, shape)
        if roi is None:
            return prediction
        self._scored_whole += prediction.score_map is None and prediction.regions is None
        return prediction_inside(prediction, roi, sample.id)

    def tell(self) -> None:
        """Note what the region of interest means for this run, when all images have been seen."""
        if self._interest is None:
            return
        notes = ["only pixels inside dataset.roi count; image scores are the largest score inside"]
        if self._scored_whole:
            notes = [
                f"only pixels inside dataset.roi count; "
                f"{counted(self._scored_whole, 'image has', 'images have')} no score map, so that their "
                "scores and labels are those of whole images"
            ]
        if self._lost:
            first = next(iter(self._lost))
            notes.append(
                f"{counted(len(self._lost), 'defective image has', 'defective images have')} no defect "
                f"inside dataset.roi, the first is {first}: they "
                "still count as defective"
            )
        self._context.notes += notes

"""From where a threshold for new images comes: given, from good images, or from a labelled set's finished run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.errors import ConfigError, ResultsError
from benchmark.core.samples import Prediction
from benchmark.core.text import counted
from benchmark.results import files
from benchmark.results.export_files import drawn, score_of
from benchmark.scoring.decision import Costs, good_quantile, least_cost

RATE = 0.05
"""Good images that may be called defective, unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A score from which on something is called defective, and how it was found."""

    value: float
    origin: str


@dataclass(frozen=True)
class Decider:
    """Calls images defective by the threshold of image scores, and pixels where the pipeline has not, or as given."""

    thresholds: Mapping[str, Threshold]
    given: set[str]

    def __call__(self, prediction: Prediction) -> Prediction:
        """Return a prediction with the label and the mask that the thresholds give."""
        if prediction.outcome != "ok":
            return prediction
        image, pixel = self.thresholds.get("image"), self.thresholds.get("pixel")
        if image is None and (pixel is None or (prediction.mask is not None and "pixel" not in self.given)):
            return prediction
        scores = drawn(prediction, "score map")
        score = score_of(prediction, scores)
        label, mask = prediction.label, prediction.mask
        if image is not None and score is not None:
            label = score >= image.value
        if pixel is not None and scores is not None and (mask is None or "pixel" in self.given):
            mask = scores >= pixel.value
        return replace(prediction, label=label, mask=mask)


def of_good(scores: Sequence[float], rate: float, what: str) -> Threshold:
    """Return the threshold that a new good image exceeds with a chance of ``rate``.

    Args:
        scores: of good images.
        rate: in (0, 1).
        what: the scores are, for the message.

    Raises:
        ResultsError: too few images to tell.
    """
    values = np.array(scores, dtype=np.float64)
    found = good_quantile(rate)(values, np.zeros(values.size, dtype=bool))
    if not math.isfinite(found):
        raise ResultsError(
            f"{counted(values.size, 'good image is', 'good images are')} too few for a false-alarm rate of "
            f"{rate:g}, which takes "
            f"{math.ceil(1 / rate) - 1} or more; give more images, or a higher rate=…"
        )
    return Threshold(value=found, origin=f"{what} of {counted(values.size, 'good image')}, false-alarm rate {rate:g}")


def of_run(folder: Path, settings: Mapping[str, Any], rate: float | None) -> tuple[Threshold, Threshold | None]:
    """Return the thresholds of image scores and of pixels that a finished run with labels leads to.

    Image scores are cut at least cost (``Costs``' own), or with a rate by the run's good images alone; pixels where
    the run's F1 is largest, over all images together: None where its maps give none.

    Args:
        folder: of the run.
        settings: of the pipeline that is used now, as ``identity`` returns them: they must be the run's.
        rate: allowed false-alarm rate; None: least cost.

    Raises:
        ConfigError: the run was one of another pipeline, or of other settings.
        ResultsError: it has no image scores of both classes.
    """
    result = files.read_result(folder)
    for part in ("pipeline", "files"):
        ours, theirs = settings.get(part, {}), result.config.get(part, {})
        if ours != theirs:
            differ = sorted(k for k in {*ours, *theirs} if ours.get(k) != theirs.get(k))
            raise ConfigError(
                f"run={result.id}: its scores are those of other settings ({', '.join(differ)}), so that its threshold "
                "means nothing here; give the same ones, or another run"
            )
    rows = files.read_rows(folder)
    rows = rows[(rows["outcome"] == "ok") & rows["image_score"].notna()]
    scores, truth = rows["image_score"].to_numpy(np.float64), rows["defective"].to_numpy(bool)
    if truth.all() or not truth.any():
        raise ResultsError(f"run={result.id}: it has no image scores of both good and defective images")
    if rate is not None:
        image = of_good(scores[~truth].tolist(), rate, f"image scores in {result.id},")
    else:
        costs = Costs()
        value = least_cost(costs)(scores, truth)
        told = f"where a miss costs {costs.miss / costs.overkill:g} false alarms"
        image = Threshold(value=value, origin=f"least cost on {counted(truth.size, 'image')} of {result.id}, {told}")
    return image, _pixels(result)


def _pixels(result: Any) -> Threshold | None:
    for row in sorted(result.metrics, key=lambda row: row.category != "pooled"):
        if row.metric == "f1_max" and row.category != "mean" and row.threshold is not None:
            return Threshold(value=row.threshold, origin=f"largest F1 of pixels in {result.id}, {row.category}")
    return None

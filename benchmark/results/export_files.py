"""One prediction as files: a score map, its regions, a mask, and what the server of MVTec AD 2 takes."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from benchmark.core.atomic import replacing
from benchmark.core.errors import DataError, ResultsError
from benchmark.core.samples import MaskSet, Prediction, Regions, Sample
from benchmark.data.draw import checked_runs
from benchmark.scoring.metrics.tables import floating

PRIVATE = ("test_private", "test_private_mixed")
"""Splits of MVTec AD 2 that its server scores."""
_SERVER_NAME = re.compile(r"[0-9]{3}.*\.png")


def drawn(prediction: Prediction, where: str) -> NDArray[Any] | None:
    """Return the score map of a prediction, (H, W) float32 or float64; that of regions is drawn, in float32.

    Raises:
        DataError: scores of a kind that cannot be ranked; names ``where``.
    """
    if prediction.regions is not None:
        return prediction.regions.score_map()
    return None if prediction.score_map is None else floating(prediction.score_map, where)


def score_of(prediction: Prediction, scores: NDArray[Any] | None) -> float | None:
    """Return the image score of a prediction, or the largest of its map, ``drawn``, where it has none."""
    if prediction.image_score is not None:
        return float(prediction.image_score)
    return None if scores is None or prediction.unscored else float(scores.max())


def write_map(path: Path, scores: NDArray[Any]) -> None:
    """Write a score map as it is, as ``.npy``."""
    with whole(path) as file:
        np.save(file, scores, allow_pickle=False)


def write_mask(path: Path, mask: NDArray[np.bool_] | NDArray[np.uint8]) -> None:
    """Write a mask as a PNG of 0 and 255, or grey levels as they are."""
    import cv2

    levels = mask.astype(np.uint8) * np.uint8(255) if mask.dtype == np.bool_ else mask
    done, data = cv2.imencode(".png", levels)
    if not done:
        raise ResultsError(f"{path}: a mask of {mask.shape} cannot be encoded as PNG; leave masks out of run.export")
    with whole(path) as file:
        file.write(data.tobytes())


def write_regions(path: Path, regions: Regions) -> None:
    """Write scored regions with every mask of their set, so that what is read back is the same to the last bit."""
    facts = {
        "size": list(regions.masks.shape),
        "counts": [code.decode("ascii") for code in regions.masks.counts],
        "index": regions.index.tolist(),
        "scores": [float(score) for score in regions.scores],
        "combine": regions.combine,
    }
    with whole(path) as file:
        file.write(json.dumps(facts).encode())


def read_regions(path: Path) -> Regions:
    """Read what ``write_regions`` wrote; raises DataError naming the file."""
    try:
        facts = json.loads(path.read_bytes())
        height, width = facts["size"]
        if facts["combine"] not in ("max", "mean", "mean_with_one", "sum"):
            raise ValueError(f"no rule {facts['combine']!r}")
        if not (type(height) is type(width) is int and height > 0 and width > 0):
            raise ValueError(f"the size {facts['size']}")
        codes = [code.encode("ascii") for code in facts["counts"] if checked_runs(code, (height, width))]
        if any(type(at) is not int or not 0 <= at < len(codes) for at in facts["index"]):
            raise ValueError("a number of no region")
        scores = np.array(facts["scores"], dtype=np.float32)
        if scores.shape != (len(facts["index"]),) or not np.isfinite(scores).all():
            raise ValueError("its scores are not one finite number a region")
        return Regions(
            masks=MaskSet.from_counts((height, width), codes),
            index=np.array(facts["index"], dtype=np.int64),
            scores=scores,
            combine=facts["combine"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise DataError(f"{path}: not the regions of an export ({error}); export the run again") from None


def server_place(sample: Sample) -> PurePosixPath | None:
    """Return ``<object>/<split>/<name>`` of a private test image of MVTec AD 2, without its ending; None: no such.

    The object is the folder above the split, or the category where there is none.
    """
    parts = PurePosixPath(sample.id).parts
    split = next((at for at, part in enumerate(parts) if part in PRIVATE), None)
    if split is None or split != len(parts) - 2 or not _SERVER_NAME.fullmatch(parts[-1]):
        return None
    return PurePosixPath(parts[split - 1] if split else sample.category, parts[split], PurePosixPath(parts[-1]).stem)


def write_for_server(folder: Path, sample: Sample, scores: NDArray[Any] | None, mask: NDArray[np.bool_] | None) -> bool:
    """Write map and mask of an image where the server of MVTec AD 2 wants them; False: it is no private test image.

    ``anomaly_images/<object>/<split>/<name>.tiff`` holds float16 at image size,
    ``anomaly_images_thresholded/<object>/<split>/<name>.png`` 0 and 255.

    Raises:
        DataError: no map, or one that float16 cannot hold.
    """
    import tifffile

    place = server_place(sample)
    if place is None:
        return False
    if scores is None:
        raise DataError(f"{sample.id}: the server of MVTec AD 2 takes score maps, and this pipeline makes none")
    with np.errstate(over="ignore"):
        half = scores.astype(np.float16)
    if not np.isfinite(half).all():
        raise DataError(
            f"{sample.id}: its scores reach {float(np.abs(scores).max()):.4g}, and float16, which the server of MVTec "
            "AD 2 takes, ends at 65504; scale the scores down"
        )
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, half, metadata=None)
    with whole(folder / "anomaly_images" / f"{place}.tiff") as file:
        file.write(buffer.getvalue())
    if mask is not None:
        write_mask(folder / "anomaly_images_thresholded" / f"{place}.png", mask)
    return True


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is written whole or not at all; raises ResultsError where it cannot be written."""
    try:
        with replacing(path) as file:
            yield file
    except OSError as error:
        raise ResultsError(
            f"{path} cannot be written ({error.strerror}); free space, or give another place, or leave run.export out"
        ) from None

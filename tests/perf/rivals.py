"""The ways in which the field computes pixel metrics, for ``tests/perf/metrics.py``; each takes maps and masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Maps = Sequence[NDArray[np.float32]]
Masks = Sequence[NDArray[np.uint8]]


def ours(maps: Maps, masks: Masks) -> list[float]:
    """AP, F1-max, max-IoU and AUROC from one count, image by image."""
    from benchmark.scoring.metrics import pixel, pool
    from benchmark.scoring.metrics.tables import dense_table

    counts = pool.count([dense_table(s, m) for s, m in zip(maps, masks, strict=True)])
    return [float(f(counts)) for f in (pixel.ap, pixel.f_beta_max, pixel.iou_max, pixel.auroc)]


def ours_aupro(maps: Maps, masks: Masks) -> list[float]:
    """AUPRO at 0.3, labelling included; the same count gives the four other metrics."""
    from benchmark.scoring.metrics import pixel, pool
    from benchmark.scoring.metrics.tables import dense_table

    counts = pool.count([dense_table(s, m, components=True) for s, m in zip(maps, masks, strict=True)])
    return [float(pixel.aupro(counts))]


def scikit_learn(maps: Maps, masks: Masks) -> list[float]:
    """The three calls that papers use, with F1 and IoU from the curve."""
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

    scores, truth = _flat(maps, masks)
    area = roc_auc_score(truth, scores)
    average = average_precision_score(truth, scores)
    precision, recall, _ = precision_recall_curve(truth, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = float(f1.max())
    return [float(average), best, best / (2 - best), float(area)]


def scikit_learn_one_pass(maps: Maps, masks: Masks) -> list[float]:
    """Scikit-learn at its best: one sort, all four metrics from one curve with every threshold."""
    from sklearn.metrics import roc_curve

    scores, truth = _flat(maps, masks)
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    positives = int(np.count_nonzero(truth))
    tp, fp = tpr * positives, fpr * (truth.size - positives)
    average = float(np.sum(np.diff(tp) * (tp / np.maximum(tp + fp, 1))[1:]) / positives)
    best = float((2 * tp / (positives + tp + fp)).max())
    return [average, best, best / (2 - best), float(np.trapezoid(tpr, fpr))]


def torchmetrics(maps: Maps, masks: Masks) -> list[float]:
    """Exact AP, precision-recall curve and AUROC, one update an image."""
    import torch
    from torchmetrics import MetricCollection
    from torchmetrics.classification import BinaryAUROC, BinaryAveragePrecision, BinaryPrecisionRecallCurve

    torch.set_num_threads(1)
    collection = MetricCollection([BinaryAveragePrecision(), BinaryPrecisionRecallCurve(), BinaryAUROC()])
    for scores, mask in zip(maps, masks, strict=True):
        collection.update(torch.from_numpy(scores).ravel(), torch.from_numpy(mask).ravel().long())
    found = collection.compute()
    precision, recall, _ = found["BinaryPrecisionRecallCurve"]
    best = float((2 * precision * recall / (precision + recall).clamp(min=1e-12)).max())
    return [float(found["BinaryAveragePrecision"]), best, best / (2 - best), float(found["BinaryAUROC"])]


def strips_1000(maps: Maps, masks: Masks) -> list[float]:
    """ADEval's way without its sorting: histogram of 1000 even strips on [0, 1], trapezoids; inexact, streaming."""
    bins = 1000
    tallies = np.zeros(2 * bins, dtype=np.int64)
    for scores, mask in zip(maps, masks, strict=True):
        strip = np.minimum((scores * np.float32(bins)).astype(np.int32), bins - 1)
        tallies += np.bincount((2 * strip + mask).ravel(), minlength=2 * bins)
    fp, tp = np.cumsum(tallies.reshape(bins, 2)[::-1], axis=0).T.astype(np.float64)
    positives, negatives = tp[-1], fp[-1]
    precision, recall = tp / np.maximum(tp + fp, 1), tp / positives
    best = float((2 * tp / (positives + tp + fp)).max())
    area = np.trapezoid(np.r_[0, recall], np.r_[0, fp / negatives])
    average = np.trapezoid(np.r_[precision[0], precision], np.r_[0, recall])
    return [float(average), best, best / (2 - best), float(area)]


def adeval_package(maps: Maps, masks: Masks) -> list[float]:
    """ADEval's own function for AUROC and AP, its least work: 1000 strips between the ends; no F1, no IoU."""
    return list(_adeval().auroc_and_aupr(list(maps), list(masks)))


def adeval_package_aupro(maps: Maps, masks: Masks) -> list[float]:
    """AUROC, AP and AUPRO as its command line and its README call ADEval."""
    return [float(v) for v in _adeval().auroc_aupr_aupro(list(maps), list(masks))]


def _adeval() -> Any:
    import adeval

    vars(np).setdefault("trapz", np.trapezoid)  # ADEval 1.1.0 asks for a name that NumPy has dropped
    return adeval


def one_sort(maps: Maps, masks: Masks) -> list[float]:
    """Sort the pooled scores and do nothing else."""
    return [float(np.sort(_flat(maps, masks)[0])[-1])]


def map_sorts(maps: Maps, masks: Masks) -> list[float]:
    """Sort the scores of each map and do nothing else."""
    return [float(max(np.sort(s, axis=None)[-1] for s in maps))]


def anomalib(maps: Maps, masks: Masks) -> list[float]:
    """AUPRO at 0.3 by one argsort of every pixel and two cumulative sums, labelled with scipy."""
    import torch
    from scipy.ndimage import label

    torch.set_num_threads(1)
    weights, number = [], 0
    for mask in masks:
        labelled, found = label(mask, structure=np.ones((3, 3)))
        share = np.r_[0.0, 1.0 / np.maximum(np.bincount(labelled.ravel(), minlength=found + 1)[1:], 1)]
        weights.append(share[labelled].ravel())
        number += found
    scores, truth = _flat(maps, masks)
    order = torch.argsort(torch.from_numpy(scores), descending=True)
    ordered = torch.from_numpy(scores)[order]
    pro = torch.cumsum(torch.from_numpy(np.concatenate(weights))[order], 0) / number
    good = torch.from_numpy(truth == 0)[order].double()
    fpr = torch.cumsum(good, 0) / good.sum()
    last = torch.cat([ordered[1:] != ordered[:-1], torch.tensor([True])])
    x, y = np.r_[0.0, fpr[last].numpy()], np.r_[0.0, pro[last].numpy()]
    at = int(np.searchsorted(x, 0.3))
    end = np.interp(0.3, x[at - 1 : at + 1], y[at - 1 : at + 1])
    return [float(np.trapezoid(np.r_[y[:at], end], np.r_[x[:at], 0.3]) / 0.3)]


def one_pass(maps: Maps, masks: Masks) -> list[float]:
    """Read every score and mask value once: what no method can beat."""
    return [float(sum(float(s.sum()) for s in maps) + sum(int(m.sum()) for m in masks))]


def _flat(maps: Maps, masks: Masks) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.concatenate([s.ravel() for s in maps]), np.concatenate([m.ravel() for m in masks])


METHODS = {f.__name__: f for f in (ours, ours_aupro, scikit_learn, torchmetrics, strips_1000, anomalib, one_pass)}

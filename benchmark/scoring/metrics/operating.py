"""What a factory decides by: defects found at a fixed false-alarm rate, false alarms at a fixed miss rate."""

from __future__ import annotations

import numpy as np

from benchmark.scoring.metrics.counts import Counts
from benchmark.scoring.metrics.pixel import Values, ratio


def recall_at_false_alarms(counts: Counts, *, rate: float) -> Values:
    """Return the largest recall at a threshold that calls at most a share of the good ones defective.

    Parameters
    ----------
    counts : Counts
        Of whole images (or pixels), with any leading axes.
    rate : float
        Allowed false-positive rate in [0, 1].

    Returns
    -------
    ndarray of float64, shape (...)
        In [0, 1]; 0 where even the highest defect score raises more alarms; NaN where either class is missing.

    Notes
    -----
    max { tp_k / P : fp_k <= rate · N }. The threshold is chosen on the very images that are scored: an oracle.
    anomalib cuts above the interpolated quantile of the good scores, over which one image more than the rate allows may
    lie: at a rate of 0.2 its own example alarms at one good image of two for a value of 1.0, this function 0.5.

    References
    ----------
    openvinotoolkit/anomalib pull request 2889 (PBn, presorted bad).

    Examples
    --------
    >>> import numpy as np
    >>> from benchmark.scoring.metrics.counts import score_counts
    >>> scores, truth = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    >>> float(recall_at_false_alarms(score_counts(scores, truth), rate=0.05))
    0.5
    """
    best = np.max(np.where(_allowed(counts, rate), counts.tp, 0), axis=-1, initial=0)
    return np.where(np.asarray(counts.n_neg) > 0, ratio(best, counts.n_pos), np.nan)


def passed_at_misses(counts: Counts, *, rate: float) -> Values:
    """Return the largest share of good ones that pass at a threshold that misses at most a share of the defective.

    Parameters
    ----------
    counts : Counts
        Of whole images (or pixels), with any leading axes.
    rate : float
        Allowed miss rate (false-negative rate) in [0, 1].

    Returns
    -------
    ndarray of float64, shape (...)
        True-negative rate in [0, 1], 1 less the false-alarm rate; NaN where either class is missing.

    Notes
    -----
    max { 1 − fp_k / N : tp_k >= (1 − rate) · P }. The threshold is chosen on the very images that are scored.
    anomalib cuts at the interpolated quantile of the defective scores, under which one image more than the rate allows
    may lie: at a rate of 0.2 its own example misses one defective image of two for a value of 1.0, this function 0.5.

    References
    ----------
    openvinotoolkit/anomalib pull request 2889 (PGn, presorted good).

    Examples
    --------
    >>> import numpy as np
    >>> from benchmark.scoring.metrics.counts import score_counts
    >>> scores, truth = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    >>> float(passed_at_misses(score_counts(scores, truth), rate=0.05))
    0.5
    """
    n_pos, n_neg = (np.asarray(n)[..., None] for n in (counts.n_pos, counts.n_neg))
    needed = np.ceil((1.0 - rate) * n_pos - 1e-9)
    alarms = np.where(counts.tp >= needed, counts.fp, n_neg).astype(np.float64)
    fewest = np.minimum(np.min(alarms, axis=-1, initial=np.inf), counts.n_neg)
    fewest = np.where(needed[..., 0] > 0, fewest, 0)  # a threshold above every score passes all
    return np.where(np.asarray(counts.n_pos) > 0, 1.0 - ratio(fewest, counts.n_neg), np.nan)


def overlap_at_false_alarms(counts: Counts, *, rate: float) -> Values:
    """Return the mean overlap of defect regions at a threshold that marks at most a share of the good pixels.

    Parameters
    ----------
    counts : Counts
        Of pixels, with ``overlap`` and ``n_components``, with any leading axes.
    rate : float
        Allowed false-positive rate of pixels in [0, 1].

    Returns
    -------
    ndarray of float64, shape (...)
        In [0, 1]; NaN where there is no region or no good pixel.

    Notes
    -----
    The height of the PRO curve at ``rate``: max { PRO(t_k) : fp_k <= rate · N }.

    References
    ----------
    P. Bergmann et al., The MVTec Anomaly Detection Dataset, IJCV 129, 2021.
    """
    if counts.overlap is None or counts.n_components is None:
        raise ValueError("the overlap of regions needs counts with component overlaps")
    best = np.max(np.where(_allowed(counts, rate), counts.overlap, 0.0), axis=-1, initial=0.0)
    return np.where(np.asarray(counts.n_neg) > 0, ratio(best, counts.n_components), np.nan)


def unmarked_at_overlap(counts: Counts, *, overlap: float) -> Values:
    """Return the largest share of good pixels left unmarked at a threshold that covers so much of defect regions.

    Parameters
    ----------
    counts : Counts
        Of pixels, with ``overlap`` and ``n_components``, with any leading axes.
    overlap : float
        Mean overlap of defect regions in [0, 1] that must be reached, 1 less the share of a region that may be missed.

    Returns
    -------
    ndarray of float64, shape (...)
        True-negative rate of pixels in [0, 1], 1 less the false-alarm rate; NaN where there is no region or no good
        pixel.

    Notes
    -----
    max { 1 − fp_k / N : PRO(t_k) >= overlap }: the PRO curve of ``overlap_at_false_alarms`` read along its other axis.
    Every region weighs the same, however large it is. The threshold is chosen on the very images that are scored.

    References
    ----------
    P. Bergmann et al., The MVTec Anomaly Detection Dataset, IJCV 129, 2021 (the curve); openvinotoolkit/anomalib pull
    request 2889 (PGn, the same question of whole images).

    Examples
    --------
    >>> import numpy as np
    >>> from benchmark.scoring.metrics.pool import count
    >>> from benchmark.scoring.metrics.tables import dense_table
    >>> scores, truth = np.array([[0.9, 0.3, 0.2, 0.1, 0.8]]), np.array([[True, False, False, False, True]])
    >>> float(unmarked_at_overlap(count([dense_table(scores, truth, components=True)]), overlap=0.95))
    1.0
    """
    if counts.overlap is None or counts.n_components is None:
        raise ValueError("the overlap of regions needs counts with component overlaps")
    n_neg, regions = (np.asarray(n)[..., None] for n in (counts.n_neg, counts.n_components))
    # shares of regions are summed in floating point: 1 is reached to the last bits only
    reached = counts.overlap >= overlap * regions * (1.0 - 1e-9)
    alarms = np.where(reached, counts.fp, n_neg).astype(np.float64)
    fewest = np.minimum(np.min(alarms, axis=-1, initial=np.inf), counts.n_neg)
    return np.where(np.asarray(counts.n_components) > 0, 1.0 - ratio(fewest, counts.n_neg), np.nan)


def _allowed(counts: Counts, rate: float) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.asarray(counts.fp <= np.floor(rate * np.asarray(counts.n_neg)[..., None] + 1e-9))

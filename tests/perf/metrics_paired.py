"""Ours beside rivals at their best, in turns within one process, for ``tests/perf/metrics.py``.

Turns share whatever else the machine does, so that the median of their ratios is steady where seconds are not.
ADEval's own package is asked (``pip install ADEval==1.1.0``, which no lock of this project holds); where it is missing
its ratios are left out and the script says so. Most of its time is NumPy's sort of each map, which is several
times slower with the AVX-512 of some processors than with the AVX2 of others: ``ns_per_pixel_numpy_sort_256`` says
which kind this one is.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HOW_TO_GET_ADEVAL = "ADEval is not installed, its ratios are left out; get it with: pip install --no-deps ADEval==1.1.0"


def cell_paired(folder: str, rounds: str) -> dict[str, float]:
    """Time the four metrics and AUPRO of 256 continuous maps of 256², everyone once a round."""
    from tests.perf import rivals

    maps = list(np.load(Path(folder) / "continuous_256_maps.npy"))
    masks = list(np.load(Path(folder) / "continuous_256_masks.npy"))
    contestants: dict[str, Callable[[Any, Any], Any]] = {
        "ours": rivals.ours,
        "ours_aupro": rivals.ours_aupro,
        "one_sort": rivals.one_sort,
        "map_sorts": rivals.map_sorts,
        "sklearn": rivals.scikit_learn_one_pass,
    }
    if importlib.util.find_spec("adeval"):
        contestants |= {"adeval": rivals.adeval_package, "adeval_aupro": rivals.adeval_package_aupro}
    else:
        print(HOW_TO_GET_ADEVAL, file=sys.stderr)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    values: dict[str, list[float]] = {}
    for _ in range(int(rounds)):
        for name, run in contestants.items():
            start = time.process_time()
            values[name] = run(maps, masks)
            seconds[name].append(time.process_time() - start)
    pixels = sum(m.size for m in maps)

    def times(rival: str, own: str = "ours") -> float:
        return statistics.median(r / o for r, o in zip(seconds[rival], seconds[own], strict=True))

    found = {
        "ns_per_pixel_continuous_256": min(seconds["ours"]) / pixels * 1e9,
        "ns_per_pixel_numpy_sort_256": min(seconds["map_sorts"]) / pixels * 1e9,
        "ns_per_pixel_over_one_sort": 1.0 / times("one_sort"),
        "speedup_sklearn_one_pass_256": times("sklearn"),
        "error_sklearn_one_pass_256": float(np.abs(np.subtract(values["ours"], values["sklearn"])).max()),
    }
    if "adeval" in contestants:
        auroc, average = values["adeval"]
        found |= {
            "speedup_adeval_continuous_256": times("adeval"),
            "speedup_adeval_aupro_continuous_256": times("adeval_aupro", "ours_aupro"),
            "error_adeval_ap_continuous_256": abs(average - values["ours"][0]),
            "error_adeval_auroc_continuous_256": abs(auroc - values["ours"][3]),
            "error_adeval_aupro_continuous_256": abs(values["adeval_aupro"][2] - values["ours_aupro"][0]),
        }
    return found

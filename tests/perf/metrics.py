"""How fast and how lean the metrics are against the ways of the field; prints ratios from one run.

    OMP_NUM_THREADS=1 python tests/perf/metrics.py [--repeat 3] [--only sweep,bootstrap]

Every cell is a process of its own, warmed up on two maps, its arrays already in memory. Seconds are processor
seconds (user + system) of one thread, medians of the repeats: on an idle machine they are wall seconds, on a busy one
they leave the waiting out; wall seconds are printed beside them. Memory is the peak above what the arrays and imports
held before the first repeat. Every ratio compares cells of one run on one machine:

    speedup_X          their seconds / ours
    times_one_pass     ours / reading every score and mask value once, which no method can beat
    memory_ratio_X     our extra memory / theirs
    growth_16_to_256   how much time grows, divided by how much the pixels do
    error_X            largest difference of a value to theirs; to an exact resample for bootstrap_error

The last lines come from rounds in which everyone has a turn (tests/perf/metrics_paired.py): against ADEval 1.1.0 itself
and scikit-learn in one pass, and ours over one sort of all scores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.perf.metrics_paired import cell_paired  # noqa: E402

KINDS = ("continuous", "few_valued")
SIZES = (16, 64, 256)
MVTEC = 1725
CATEGORIES = 15


def main() -> None:
    """Run all cells and print the table and the ``PERF`` lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", default="rivals,aupro,mvtec,sweep,bootstrap,paired")
    parser.add_argument("--cell", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        print(json.dumps(CELLS[options.cell[0]](*options.cell[1:])))
        return
    wanted = options.only.split(",")
    parts = {
        "rivals": _rivals,
        "aupro": _aupro,
        "mvtec": _mvtec,
        "sweep": _sweep,
        "bootstrap": _bootstrap,
        "paired": _paired,
    }
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        _draw(Path(folder), sizes=(256, 400) if "mvtec" in wanted else (256,))
        for name in wanted:
            found |= parts[name](folder, options.repeat)
    print()
    for name, value in found.items():
        print(f"PERF {name} {value:.6g}")


def _draw(folder: Path, *, sizes: tuple[int, ...]) -> None:
    from tests.scoring.metrics import maps

    for kind in KINDS:
        for size in sizes:
            if size == 256 or kind == "continuous":
                scores, masks = getattr(maps, kind)(256, size)
                np.save(folder / f"{kind}_{size}_maps.npy", scores)
                np.save(folder / f"{kind}_{size}_masks.npy", masks)


def _cell(*words: str) -> dict[str, Any]:
    """Run one cell in a fresh process with one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--cell", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")
    sys.stderr.write(done.stderr)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def _rivals(folder: str, repeat: int) -> dict[str, float]:
    """The four metrics on growing sets, against scikit-learn, torchmetrics, 1000 bins and one pass over memory."""
    found: dict[str, float] = {}
    print(f"{'AP, F1-max, max-IoU, AUROC':28} {'maps':>5} {'cpu s':>9} {'wall s':>9} {'extra MB':>9}  values")
    for kind in KINDS:
        label = kind.replace("_", "")
        times: dict[tuple[str, int], dict[str, Any]] = {}
        for number in SIZES:
            for method in ("ours", "scikit_learn", "torchmetrics", "strips_1000", "one_pass"):
                rounds = repeat * 3 if method in ("ours", "one_pass", "strips_1000") else repeat
                cell = _cell("method", method, folder, kind, "256", str(number), str(rounds))
                times[method, number] = cell
                _print(f"{kind} {method}", number, cell)
            for rival, name in (("scikit_learn", "sklearn"), ("torchmetrics",) * 2, ("strips_1000", "adeval1000")):
                ratio = times[rival, number]["cpu"] / times["ours", number]["cpu"]
                found[f"speedup_{name}_{label}_{number}"] = ratio
            found[f"times_one_pass_{label}_{number}"] = times["ours", number]["cpu"] / times["one_pass", number]["cpu"]
            share = times["ours", number]["mb"] / max(times["scikit_learn", number]["mb"], 1e-9)
            found[f"memory_ratio_sklearn_{label}_{number}"] = share
            errors = np.subtract(times["ours", number]["values"], times["scikit_learn", number]["values"])
            found[f"error_sklearn_{label}_{number}"] = float(np.abs(errors).max())
        found[f"growth_16_to_256_{label}"] = times["ours", 256]["cpu"] / times["ours", 16]["cpu"] / 16
    return found


def _aupro(folder: str, repeat: int) -> dict[str, float]:
    """Exact AUPRO against one argsort of every pixel."""
    found: dict[str, float] = {}
    for kind, suffix in zip(KINDS, ("", "_fewvalued"), strict=True):
        for number in SIZES:
            mine = _cell("method", "ours_aupro", folder, kind, "256", str(number), str(repeat * 3))
            theirs = _cell("method", "anomalib", folder, kind, "256", str(number), str(repeat))
            _print(f"{kind} ours_aupro", number, mine)
            _print(f"{kind} anomalib", number, theirs)
            found[f"speedup_anomalib_aupro{suffix}_{number}"] = theirs["cpu"] / mine["cpu"]
            found[f"error_anomalib_aupro{suffix}_{number}"] = abs(theirs["values"][0] - mine["values"][0])
    return found


def _mvtec(folder: str, repeat: int) -> dict[str, float]:
    """A test set of MVTec AD's size: the four metrics, and AUPRO."""
    found: dict[str, float] = {}
    cells = (("continuous", "256"), ("few_valued", "256"), ("continuous", "400"))
    for kind, size in cells:
        name = f"mvtec{size}_{kind.replace('_', '')}"
        cell = _cell("method", "ours", folder, kind, size, str(MVTEC), "1")
        _print(f"{kind} {size}² ours", MVTEC, cell)
        found |= {f"{name}_seconds": cell["cpu"], f"{name}_extra_mb": cell["mb"]}
        if size == "256":
            aupro = _cell("method", "ours_aupro", folder, kind, size, str(MVTEC), "1")
            _print(f"{kind} {size}² ours_aupro", MVTEC, aupro)
            found[f"{name}_aupro_seconds"] = aupro["cpu"]
    return found


def _sweep(folder: str, repeat: int) -> dict[str, float]:
    cell = _cell("sweep", str(repeat))
    print(f"50 settings × 64 images of 512² from atoms: {cell}")
    return {f"{k}": float(v) for k, v in cell.items()}


def _bootstrap(folder: str, repeat: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for kind in KINDS:
        cell = _cell("bootstrap", folder, kind, str(repeat))
        print(f"1000 resamples, {kind}: {cell}")
        suffix = "" if kind == "continuous" else "_fewvalued"
        found |= {f"{k}{suffix}": float(v) for k, v in cell.items()}
    return found


def _paired(folder: str, repeat: int) -> dict[str, float]:
    return {k: float(v) for k, v in _cell("paired", folder, str(repeat * 2 + 1)).items()}


def _print(name: str, number: int, cell: dict[str, Any]) -> None:
    values = " ".join(f"{v:.5f}" for v in cell["values"])
    print(f"{name:28} {number:5} {cell['cpu']:9.4f} {cell['wall']:9.4f} {cell['mb']:9.1f}  {values}", flush=True)


def cell_method(method: str, folder: str, kind: str, size: str, number: str, repeat: str) -> dict[str, Any]:
    """Time one method on the first maps of a set; more maps than drawn repeat them in order."""
    from tests.perf.rivals import METHODS

    maps = np.load(Path(folder) / f"{kind}_{size}_maps.npy")
    masks = np.load(Path(folder) / f"{kind}_{size}_masks.npy")
    order = np.arange(int(number)) % len(maps)
    chosen = [maps[i] for i in order], [masks[i] for i in order]
    run = METHODS[method]
    run(list(maps[:2]), list(masks[:2]))
    rounds = [_measure(lambda: run(*chosen)) for _ in range(int(repeat))]
    middle = {k: statistics.median(r[k] for r in rounds) for k in ("cpu", "wall")}
    # later rounds find memory that the first one left with the allocator
    return middle | {"mb": rounds[0]["mb"], "values": rounds[-1]["result"]}


def cell_sweep(repeat: str) -> dict[str, float]:
    """Score 10 area limits × 5 top-K from atoms, and check three of them against drawn maps."""
    from benchmark.core.samples import GroundTruth, MaskSet, Regions
    from benchmark.scoring.metrics import pixel, pool
    from benchmark.scoring.metrics.regions import build_atoms
    from benchmark.scoring.metrics.tables import dense_table
    from tests.scoring.metrics.maps import region_set

    rng = np.random.default_rng(0)
    drawn = [region_set(rng, 512) for _ in range(64)]
    sets = [(GroundTruth(mask=t), MaskSet.encode(m), s) for t, m, s in drawn]
    areas = [masks.areas() / masks.shape[0] / masks.shape[1] for _, masks, _ in sets]
    functions = (pixel.ap, pixel.f_beta_max, pixel.iou_max)
    limits, tops = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0), (1, 3, 5, 10, 50)

    def selected(limit: float, top: int) -> list[Regions]:
        made = []
        for (_, masks, scores), area in zip(sets, areas, strict=True):
            kept = np.flatnonzero(area <= limit)
            kept = kept[np.argsort(-scores[kept], kind="stable")[:top]]
            made.append(Regions(masks=masks, index=kept, scores=scores[kept]))
        return made

    def build() -> Any:
        return [build_atoms(masks, truth) for truth, masks, _ in sets]

    def sweep() -> dict[tuple[float, int], list[float]]:
        found = {}
        for limit in limits:
            for top in tops:
                tables = [a.table(r) for a, r in zip(atoms, selected(limit, top), strict=True)]
                counts = pool.count(tables)
                found[limit, top] = [float(f(counts)) for f in functions]
        return found

    build()
    builds = [_measure(build) for _ in range(int(repeat))]
    atoms = builds[-1]["result"]
    sweeps = [_measure(sweep) for _ in range(int(repeat))]
    worst = 0.0
    for key in ((0.05, 3), (0.3, 10), (1.0, 50)):
        dense = [dense_table(r.score_map(), t.mask) for r, (t, _, _) in zip(selected(*key), sets, strict=True)]
        counts = pool.count(dense)
        errors = np.subtract([float(f(counts)) for f in functions], sweeps[-1]["result"][key])
        worst = max(worst, float(np.abs(errors).max()))
    return {
        "atoms_build_seconds": statistics.median(b["cpu"] for b in builds),
        "sweep50_atoms_seconds": statistics.median(s["cpu"] for s in sweeps),
        "sweep50_atoms_error": worst,
    }


def cell_bootstrap(folder: str, kind: str, repeat: str) -> dict[str, float]:
    """Time 1000 resamples of four metrics at 64 images and at MVTec's size; compare replicates with exact ones."""
    from benchmark.scoring.metrics import bootstrap, pixel, pool
    from benchmark.scoring.metrics.tables import dense_table

    maps = np.load(Path(folder) / f"{kind}_256_maps.npy")
    masks = np.load(Path(folder) / f"{kind}_256_masks.npy")
    tables = [dense_table(s, m) for s, m in zip(maps, masks, strict=True)]
    functions = {"ap": pixel.ap, "f1_max": pixel.f_beta_max, "max_iou": pixel.iou_max, "auroc": pixel.auroc}

    def drawn(chosen: list[Any], counts: Any, weights: Any) -> dict[str, Any]:
        each = bootstrap.image_curves(chosen, counts)
        found = bootstrap.replicates(each, weights, functions)
        plain = bootstrap.replicates(each, np.ones((1, len(chosen))), functions)
        return {k: v + float(functions[k](counts)) - plain[k][0] for k, v in found.items()}

    first = tables[:64]
    counts = pool.count(first)
    weights = bootstrap.resample(64, resamples=1000, seed=0, stratum="all")
    rounds = [_measure(lambda: drawn(first, counts, weights)) for _ in range(int(repeat) * 2)]
    errors = dict.fromkeys(functions, 0.0)
    for at in range(5):
        repeated = [t for t, times in zip(first, weights[at], strict=True) for _ in range(int(times))]
        whole = pool.count(repeated)
        for name, function in functions.items():
            errors[name] = max(errors[name], abs(float(function(whole)) - rounds[-1]["result"][name][at]))
    sizes = [MVTEC // CATEGORIES] * CATEGORIES
    groups = [[tables[(115 * c + i) % 256] for i in range(n)] for c, n in enumerate(sizes)]
    whole = [t for group in groups for t in group]
    known = [pool.count(group) for group in (*groups, whole)]

    def everything() -> None:
        parts = [bootstrap.resample(n, resamples=1000, seed=0, stratum=str(c)) for c, n in enumerate(sizes)]
        for group, own, weights in zip(groups, known, parts, strict=False):
            drawn(group, own, weights)
        drawn(whole, known[-1], np.concatenate(parts, axis=1))

    large = _measure(everything)
    return {
        "bootstrap1000_64_seconds": statistics.median(r["cpu"] for r in rounds),
        "bootstrap1000_mvtec_seconds": large["cpu"],
        **{f"bootstrap_error_{name}": error for name, error in errors.items()},
    }


def _measure(run: Callable[[], Any]) -> dict[str, Any]:
    """Processor and wall seconds of one call, and its peak memory above the start in MB (0 where unknown)."""
    _reset_peak()
    before = _status("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"cpu": cpu, "wall": wall, "mb": max(0.0, _status("VmHWM") - before), "result": result}


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        print("peak memory cannot be reset here: MB are upper bounds", file=sys.stderr)


def _status(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return float(line.split()[1]) / 1024
    return 0.0


CELLS: dict[str, Callable[..., dict[str, Any]]] = {
    "method": cell_method,
    "sweep": cell_sweep,
    "bootstrap": cell_bootstrap,
    "paired": cell_paired,
}

if __name__ == "__main__":
    main()

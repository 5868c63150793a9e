"""SAA+ and PatchCore on a CUDA device: images per second in fp32 and bf16, and how far their maps differ.

    python tests/perf/gpu.py [--images 32] [--side 512] [--batch 8] [--only patchcore]
    python tests/perf/gpu.py --checkout ~/Segment-Any-Anomaly        also against the official SAA+
    python tests/perf/gpu.py --toy --device cpu                      tries the code where there is no GPU

Generated images (dataset=sat), published weights from this machine, an empty store; preparation and two images for
warming up are not timed. SAA+ has the fast kernels of its detector, as those of the option do not take batches. The
official code's side is that of ``tests/perf/saa.py``, with its random weights.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmark.config.pipeline import make_plan, predictions
from benchmark.results.export_files import drawn
from benchmark.results.profile import StageTime
from benchmark.running.run import limited, make_context, make_manifest
from tests.harness import typed
from tests.tiny_models import tiny

ROOT = Path(__file__).resolve().parents[2]
NETWORKS = {"saa_plus": ("detector", "sam", "saliency.backbone"), "patchcore": ("backbone",)}
"""What has a precision in each pipeline."""
FASTER = {"saa_plus": ("pipeline.detector.kernels=fast",), "patchcore": ()}
WARM_UP = 2


class Measured(NamedTuple):
    """One pipeline in one precision."""

    maps: list[NDArray[np.floating]]
    per_second: float
    stages: dict[str, StageTime]
    at_once: dict[str, int]
    """Images of each stage's largest batch."""


def measure(pipeline: str, precision: str, options: argparse.Namespace, folder: Path) -> Measured:
    """Predict generated images into an empty store."""
    words = (
        f"pipeline={pipeline}",
        *(tiny(pipeline) if options.toy else ()),
        *FASTER[pipeline],
        *(f"pipeline.{network}.precision={precision}" for network in NETWORKS[pipeline]),
        *("dataset=sat", f"dataset.size={options.side}", "dataset.n_train=4", "dataset.n_defective=6"),
        f"dataset.n_good={options.images + WARM_UP - 6}",
        *(f"run.device={options.device}", f"run.data_root={folder / 'data'}"),
        *(f"run.cache_root={folder / pipeline / precision}", f"run.batch_size={options.batch}"),
    )
    config = typed(*words)
    manifest = make_manifest(config)
    context = make_context(config, manifest, limited(manifest, None))
    plan = make_plan(config.pipeline, context, option=pipeline)
    samples = context.samples

    def predicted(number: slice) -> list[NDArray[np.floating]]:
        context.samples = samples[number]
        found = [drawn(prediction, sample.id) for sample, prediction in predictions(plan, context)]
        return [one for one in found if one is not None]

    predicted(slice(WARM_UP))
    context.stats.clear()
    start = time.perf_counter()
    maps = predicted(slice(WARM_UP, None))
    taken = time.perf_counter() - start
    assert len(maps) == options.images, f"{pipeline}: {len(maps)} maps of {options.images} images"
    stats = sorted(context.stats.items())
    return Measured(
        maps=maps,
        per_second=len(maps) / taken,
        stages={name: StageTime(s.seconds, s.waiting, s.storing) for name, s in stats},
        at_once={name: s.images_at_once for name, s in stats},
    )


def against_itself(pipeline: str, options: argparse.Namespace) -> None:
    """Measure a pipeline in both precisions, and print what they are to each other."""
    with tempfile.TemporaryDirectory() as folder:
        found = {precision: measure(pipeline, precision, options, Path(folder)) for precision in ("fp32", "bf16")}
    for precision, one in found.items():
        for name, times in one.stages.items():
            if sum(times):
                print(f"{pipeline} {precision}: {name} {sum(times):.2f} s, {times}; up to {one.at_once[name]} at once")
        print(f"PERF images_per_second_{pipeline}_{precision} {one.per_second:.2f}")
    pairs = list(zip(found["fp32"].maps, found["bf16"].maps, strict=True))
    largest = max(float(np.abs(exact).max()) for exact, _ in pairs)
    gap = max(float(np.abs(exact - rough).max()) for exact, rough in pairs)
    print(f"{pipeline}: largest value of a map in fp32 {largest:.4g}")
    print(f"PERF largest_map_difference_{pipeline}_bf16 {gap:.3g}")


def against_official(options: argparse.Namespace) -> None:
    """Run the official SAA+ and ours on equal weights and images."""
    for precision in ("fp32", "bf16"):
        words = ["--official", str(options.checkout), "--device", options.device, "--precision", precision]
        words += ["--images", str(options.images), "--sam", "vit_h"]
        subprocess.run([sys.executable, str(ROOT / "tests" / "perf" / "saa.py"), *words], cwd=ROOT, check=True)


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print; ends with an error where there is no CUDA device."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--images", type=int, default=32, help="that are timed, 6 or more")
    parser.add_argument("--side", type=int, default=512, help="of the generated images, pixels")
    parser.add_argument("--batch", default="auto", help="images at once: a number, or auto")
    parser.add_argument("--only", choices=NETWORKS, default=None)
    parser.add_argument("--checkout", type=Path, help="of caoyunkang/Segment-Any-Anomaly, branch SAA-plus")
    parser.add_argument("--toy", action="store_true", help="tiny networks: the numbers mean nothing")
    options = parser.parse_args(words)
    if options.images < 6:
        parser.error("--images: give 6 or more")
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("this machine has no CUDA device, and nothing else is measured here; --toy --device cpu tries the "
                     "code alone")  # fmt: skip
    if not options.device.startswith("cuda") and not options.toy:
        parser.error(f"--device {options.device} is no GPU: it goes with --toy, which tries the code alone")
    if options.checkout is not None and not options.checkout.is_dir():
        parser.error(f"--checkout: no such folder: {options.checkout}")
    if options.device.startswith("cuda"):
        print(f"device: {torch.cuda.get_device_name(options.device)}")
    for pipeline in NETWORKS if options.only is None else (options.only,):
        against_itself(pipeline, options)
    if options.checkout is not None:
        against_official(options)


if __name__ == "__main__":
    main()

"""SAA+ and PatchCore on a CUDA device: images per second in fp32 and bf16, and how far their maps differ.

    python tests/perf/gpu.py [--images 32] [--side 512] [--batch 8] [--only patchcore]
    python tests/perf/gpu.py --random                                networks of full size with random weights
    python tests/perf/gpu.py --checkout ~/Segment-Any-Anomaly        also against the official SAA+
    python tests/perf/gpu.py --toy --device cpu                      tries the code where there is no GPU

Generated images (dataset=sat), an empty store; preparation and two batches for warming up are not timed. Weights are
the published ones of this machine, or random ones of the same networks: SAM's ViT-H and GroundingDINO's Swin-T with a
threshold that thirty boxes an image pass, and PatchCore's WideResNet-50-2. fp32 is measured with batches and image by
image, bf16 with batches. SAA+ has the fast kernels of its detector, as those of the option do not take batches.
The official code's side is that of ``tests/perf/saa.py``, with its random weights.
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
from benchmark.config.pipeline import Plan, make_plan, predictions
from benchmark.results.export_files import drawn
from benchmark.results.profile import StageTime
from benchmark.running.run import limited, make_context, make_manifest
from benchmark.stages.context import Context, clear_models
from tests.harness import typed
from tests.perf import saa
from tests.tiny_models import tiny

ROOT = Path(__file__).resolve().parents[2]
NETWORKS = {"saa_plus": ("detector", "sam", "saliency.backbone"), "patchcore": ("backbone",)}
"""What has a precision in each pipeline."""
SAM = "vit_h"
FLOOR = 0.3
"""Score below which no box is kept where weights are random: most lie above .5."""
BOXES = 30
"""Of an image, that get a mask where weights are random."""
WARM_UP = 2
"""Batches that are not timed."""
FASTER = {"saa_plus": ("pipeline.detector.kernels=fast",), "patchcore": ()}
KINDS = {"fp32": ("fp32", None), "fp32_one_by_one": ("fp32", 1), "bf16": ("bf16", None)}
"""Precision, and images at once where it is not ``--batch``."""


def random_weights(pipeline: str, options: argparse.Namespace, folder: Path) -> tuple[str, ...]:
    """Write random weights of a pipeline's full-size networks, and return the settings that use them."""
    if pipeline == "patchcore":
        allowed = "pipeline.allow_random_weights=true"
        return allowed, "backbone@pipeline.backbone=wide_resnet50_2", "pipeline.backbone.weights=random"
    folder.mkdir()
    saa.write_weights(folder, SAM)
    words = (
        f"pipeline.detector.weights={folder / 'detector.pth'}",
        f"pipeline.detector.tokenizer={folder / 'vocab.txt'}",
        *(f"pipeline.sam.model={SAM}", f"pipeline.sam.weights={folder / 'sam.pth'}"),
        *(f"pipeline.saliency.backbone.weights={folder / 'saliency.pth'}", "pipeline.thresholds.text=0.9"),
        f"pipeline.detector.floor={FLOOR}",
    )
    return *words, f"pipeline.thresholds.box={boxes_threshold(words, options, folder)}"


def boxes_threshold(words: Sequence[str], options: argparse.Namespace, folder: Path) -> float:
    """Choose the score that ``BOXES`` boxes of an image pass on average, in a wide gap between scores."""
    context, plan = planned("saa_plus", "fp32", (*words, f"pipeline.thresholds.box={FLOOR}"), options, folder)
    regions = next(stage for stages in plan.stages.values() for stage in stages if stage.name == "saa_regions")
    detection = next(stage for stage in regions.upstream if stage.name == "groundingdino")
    images = context.samples[:4]
    scores = np.sort(np.concatenate([found["scores"] for _, found in context.run(detection, images)]))[::-1]
    near = scores[BOXES * len(images) :][:20]
    widest = int(np.argmax(near[:-1] - near[1:]))
    return float(near[widest : widest + 2].mean())


def planned(
    pipeline: str, kind: str, settings: Sequence[str], options: argparse.Namespace, folder: Path
) -> tuple[Context, Plan]:
    """Plan a pipeline on generated images, with an empty store."""
    precision, at_once = KINDS[kind]
    config = typed(
        f"pipeline={pipeline}",
        *(tiny(pipeline) if options.toy else ()),
        *FASTER[pipeline],
        *settings,
        *(f"pipeline.{network}.precision={precision}" for network in NETWORKS[pipeline]),
        *("dataset=sat", f"dataset.size={options.side}", "dataset.n_train=4", "dataset.n_defective=6"),
        f"dataset.n_good={options.images + WARM_UP * options.batch - 6}",
        *(f"run.device={options.device}", f"run.data_root={folder / 'data'}"),
        *(f"run.cache_root={folder / 'store' / kind}", f"run.batch_size={at_once or options.batch}"),
    )
    manifest = make_manifest(config)
    context = make_context(config, manifest, limited(manifest, None))
    return context, make_plan(config.pipeline, context, option=pipeline)


class Measured(NamedTuple):
    """One pipeline in one precision."""

    maps: list[NDArray[np.floating]]
    per_second: float
    stages: dict[str, StageTime]
    at_once: dict[str, int]
    """Images of each stage's largest batch."""
    gigabytes: float
    """Largest memory of the device that tensors took, the networks' own included; 0 on a processor."""


def measure(pipeline: str, kind: str, settings: Sequence[str], options: argparse.Namespace, folder: Path) -> Measured:
    """Predict generated images into an empty store."""
    if KINDS[kind][1] is None:
        clear_models()
    context, plan = planned(pipeline, kind, settings, options, folder)
    samples = context.samples

    def predicted(number: slice) -> list[NDArray[np.floating]]:
        context.samples = samples[number]
        found = [drawn(prediction, sample.id) for sample, prediction in predictions(plan, context)]
        return [one for one in found if one is not None]

    if options.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    first = WARM_UP * options.batch
    predicted(slice(first))
    context.stats.clear()
    start = time.perf_counter()
    maps = predicted(slice(first, None))
    taken = time.perf_counter() - start
    assert len(maps) == options.images, f"{pipeline}: {len(maps)} maps of {options.images} images"
    stats = sorted(context.stats.items())
    return Measured(
        maps=maps,
        per_second=len(maps) / taken,
        stages={name: StageTime(s.seconds, s.waiting, s.storing) for name, s in stats},
        at_once={name: s.images_at_once for name, s in stats},
        gigabytes=torch.cuda.max_memory_allocated() / 1e9 if options.device.startswith("cuda") else 0.0,
    )


def against_itself(pipeline: str, options: argparse.Namespace) -> None:
    """Measure a pipeline in both precisions, with and without batches; print each, and how far its maps differ."""
    with tempfile.TemporaryDirectory() as folder:
        settings = random_weights(pipeline, options, Path(folder) / "weights") if options.random else ()
        exact: list[NDArray[np.floating]] = []
        for kind in KINDS:
            one = measure(pipeline, kind, settings, options, Path(folder))
            for name, times in one.stages.items():
                if sum(times):
                    print(f"{pipeline} {kind}: {name} {sum(times):.2f} s, {times}; up to {one.at_once[name]} at once")
            print(f"{pipeline} {kind}: {one.gigabytes:.2f} GB of the device's memory")
            print(f"PERF images_per_second_{pipeline}_{kind} {one.per_second:.2f}", flush=True)
            if kind == "fp32":
                exact = one.maps
                print(f"{pipeline}: largest value of a map in fp32 {max(float(np.abs(m).max()) for m in exact):.4g}")
                continue
            gaps = [np.abs(mine - other) for mine, other in zip(exact, one.maps, strict=True)]
            print(f"{pipeline} {kind}: {np.mean([g > 1e-3 for g in gaps]):.3g} of the pixels differ by more than .001")
            print(f"PERF largest_map_difference_{pipeline}_{kind} {max(float(g.max()) for g in gaps):.3g}", flush=True)


def against_official(options: argparse.Namespace) -> None:
    """Run the official SAA+ and ours on equal weights and images."""
    for precision in ("fp32", "bf16"):
        words = ["--official", str(options.checkout), "--device", options.device, "--precision", precision]
        words += ["--images", str(options.images), "--sam", SAM, "--skip-saliency"]
        subprocess.run([sys.executable, str(ROOT / "tests" / "perf" / "saa.py"), *words], cwd=ROOT, check=True)


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print; ends with an error where there is no CUDA device."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--images", type=int, default=32, help="that are timed, 6 or more")
    parser.add_argument("--side", type=int, default=512, help="of the generated images, pixels")
    parser.add_argument("--batch", type=int, default=8, help="images at once")
    parser.add_argument("--only", choices=NETWORKS, default=None)
    parser.add_argument("--checkout", type=Path, help="of caoyunkang/Segment-Any-Anomaly, branch SAA-plus")
    parser.add_argument("--random", action="store_true", help="random weights of the networks in their full size")
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

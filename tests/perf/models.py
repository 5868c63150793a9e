"""What the adapters of the foundation models save, measured with random weights; prints ratios.

    python tests/perf/models.py [--device cuda] [--side 800] [--captions 6] [--sam vit_t] [--only captions]

Three parts: (captions) several captions on one image, against one whole forward per caption as the official code
does it; (shared) the three SAM pipelines over the same images, and how often the image embedding was computed;
(batches) images per second by batch size and precision. On a CPU everything runs on one thread and seconds are
those of the processor, which other work on the machine hardly changes; on CUDA they are wall seconds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmark.core.samples import Manifest
from benchmark.models.clip import Clip, squash
from benchmark.models.clip_build import load_clip
from benchmark.models.grounding_dino import GroundingDino, scale_for_detector
from benchmark.models.grounding_dino_build import load_grounding_dino
from benchmark.models.runtime import Device
from benchmark.models.sam import SegmentAnything
from benchmark.models.sam_build import load_sam
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests.harness import predict, typed
from tests.pictures import save_sample
from tests.tiny_models import tiny

TEXTS = ("defect.", "damage on carpet.", "flaw on carpet.", "black hole.", "thread.", "defect on carpet.")
SHARED = ("groundingdino_sam", "sam_clip", "clip_surgery_sam")


def seconds(work: Callable[[], Any], device: str, *, repeats: int = 1) -> float:
    """Fewest seconds that the work took."""
    clock = time.perf_counter if device.startswith("cuda") else time.process_time
    found = []
    for _ in range(repeats):
        start = clock()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        found.append(clock() - start)
    return min(found)


def captions(device: str, side: int, number: int) -> None:
    """Several captions on one image: the adapter against the library, one forward per caption."""
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    texts = [TEXTS[i % len(TEXTS)] for i in range(number)]
    pixels = scale_for_detector(image, short_side=side, long_side=2 * side)[None].to(device)
    library = load_grounding_dino("swin_t", weights=None, vocabulary=None, device=device)
    adapter = GroundingDino(
        load_grounding_dino("swin_t", weights=None, vocabulary=None, device=device),
        device=Device(name=device),
        short_side=side,
        long_side=2 * side,
        captions_per_batch=6 if device.startswith("cuda") else 1,
    )

    def one_by_one() -> list[Any]:
        with torch.inference_mode():
            return [library(pixels, captions=[text]) for text in texts]

    def together() -> Any:
        return adapter.raw(image, texts)

    small = np.zeros((96, 96, 3), dtype=np.uint8)
    if device.startswith("cuda"):  # kernels are loaded at the first call
        one_by_one(), together()
    adapter.detect(small, texts, floor=0.5) if side > 400 else None
    official, ours = seconds(one_by_one, device), seconds(together, device)
    print(f"{number} captions at {side} px on {device}: official {official:.2f} s, ours {ours:.2f} s")
    single = seconds(lambda: adapter.raw(image, texts[:1]), device)
    print(f"one caption: official {official / number:.2f} s, ours {single:.2f} s")
    names = {6: "six"}
    print(f"PERF speedup_one_caption {official / number / single:.2f}")
    print(f"PERF speedup_{names.get(number, number)}_captions {official / ours:.2f}")


def shared(device: str, sam: str) -> None:
    """The three SAM pipelines over the same images through one store."""
    with tempfile.TemporaryDirectory() as name:
        folder, draw = Path(name), np.random.default_rng(0)
        samples = tuple(
            save_sample(folder / f"{i}.png", draw.integers(0, 256, (200, 300, 3), dtype=np.uint8)) for i in range(4)
        )
        computed, spent = 0, 0.0
        for pipeline in SHARED:
            manifest = Manifest(dataset="x", samples=samples)
            context = Context(
                manifest=manifest, samples=samples, store=Store(folder / "store"), workers=0, device=device
            )
            config = typed(f"pipeline={pipeline}", *tiny(pipeline), f"pipeline.sam.model={sam}")
            assert sum(1 for _ in predict(config.pipeline, context)) == len(samples)
            computed += context.stats["sam_embedding"].computed
            spent += context.stats["sam_embedding"].seconds
        print(f"{computed} embeddings of {len(samples)} images for {len(SHARED)} pipelines, {spent:.1f} s")
        print(f"PERF embeddings_per_image {computed / len(samples):.2f}")
        print(f"PERF embeddings_saved_factor {len(SHARED) * len(samples) / computed:.2f}")


def batches(device: str, sam: str) -> None:
    """Images per second of the image encoders by batch size and precision."""
    sizes = (1, 4, 16) if device.startswith("cuda") else (1, 4)
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (300, 400, 3), dtype=np.uint8) for _ in range(max(sizes))]
    clip, network = load_clip("vit_b_16", weights=None, device=device), load_sam(sam, weights=None, device=device)  # type: ignore[arg-type]
    prepared = [squash(image, 224) for image in images]
    for precision in ("fp32", "bf16"):
        place = Device(name=device, precision=precision)  # type: ignore[arg-type]
        views: dict[str, Callable[[int], Any]] = {
            "clip_vit_b_16": lambda n, place=place: Clip(clip, device=place).tokens(prepared[:n], surgery=6),  # type: ignore[misc]
            f"sam_{sam}": lambda n, place=place: SegmentAnything(network, device=place).embed(images[:n]),  # type: ignore[misc]
        }
        for name, run in views.items():
            for size in sizes:
                if name.startswith("sam") and size > 4:
                    continue
                run(size)
                taken = seconds(lambda run=run, size=size: run(size), device, repeats=2)  # type: ignore[misc]
                print(f"PERF images_per_second_{name}_b{size}_{precision} {size / taken:.3f}")


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--side", type=int, default=800, help="input size of the detector")
    parser.add_argument("--captions", type=int, default=6)
    parser.add_argument("--sam", default=None, help="vit_h, vit_l, vit_b, vit_t or toy; vit_t on a CPU, vit_h on CUDA")
    parser.add_argument("--only", choices=("captions", "shared", "batches"), default=None)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    if not chosen.device.startswith("cuda"):
        torch.set_num_threads(1)
    sam = chosen.sam or ("vit_h" if chosen.device.startswith("cuda") else "vit_t")
    if chosen.only in (None, "shared"):
        shared(chosen.device, chosen.sam or "toy")
    if chosen.only in (None, "batches"):
        batches(chosen.device, sam)
    if chosen.only in (None, "captions"):
        captions(chosen.device, chosen.side, chosen.captions)


if __name__ == "__main__":
    main()

"""How much faster the faithful SAA+ profile is than its released code, with equal maps; prints the ratios.

    python tests/perf/saa.py [--official PATH] [--images 2] [--sam vit_b] [--short-side 800] [--device cuda] [--itself]
                             [--kernels fast library] [--rounds 2] [--threads 1]

Random weights of the real networks, made here, with a threshold per image that lets some boxes through. ``PATH`` is
the user's own checkout of caoyunkang/Segment-Any-Anomaly, branch SAA-plus; without it a literal form of the method on
the plain libraries stands for it. Every side is a process of its own. Times are from the image file to the map at
400 x 400, models loaded, by the clock and of the processor; ours goes through an empty store.

Where the score of a pixel depends on a sign (is it in the mask?) or on a rank (is this query among the first 900?),
rounding decides a few pixels. ``--itself`` runs the other side again with one more thread and prints how many pixels
that alone changes; with ``--kernels library`` ours takes every sum in the released code's order.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
WORDS = "damaged_white_broken_contaminated_part"
QUESTIONS = [
    ("defect on part", "part"),
    ("damage on part", "part"),
    ("flaw on part", "part"),
    ("broken part. contamination. white broken.", "contam"),
]
NEXT = 40
"""Scores below the first threshold that would do; the one chosen lies in the widest gap between them, where rounding
moves no box across it."""
SHAPES = ((480, 640), (600, 400), (400, 400), (500, 750))


def write_weights(work: Path, sam: str) -> None:
    """Save random weights, the detector's bent so that scores and box sizes differ."""
    import torch

    from benchmark.models.grounding_dino_build import load_grounding_dino
    from benchmark.models.sam_build import load_sam
    from benchmark.models.toy_tokenizer import LETTERS
    from tests.perf.saa_literal import saliency_network

    (work / "vocab.txt").write_text("\n".join(LETTERS))
    detector = load_grounding_dino("swin_t", weights=None, vocabulary=None, device="cpu").state_dict()
    draw = torch.Generator().manual_seed(5)
    for name, tensor in detector.items():
        if "bbox_embed" in name and "layers.2" in name:
            bent = torch.randn(tensor.shape, generator=draw) * 0.01
            tensor.copy_(bent if tensor.ndim > 1 else torch.tensor([0.0, 0.0, 0.25, 0.25]))
    detector["transformer.decoder.norm.weight"].fill_(0.02)
    torch.save({"model": detector}, work / "detector.pth")
    torch.save(load_sam(sam, weights=None, device="cpu").state_dict(), work / "sam.pth")  # type: ignore[arg-type]
    torch.save(saliency_network().state_dict(), work / "saliency.pth")


def write_images(work: Path, number: int) -> None:
    """Save random colour images with a few discs and a sensor's noise: on flat colour scores would tie."""
    import cv2

    rng = np.random.default_rng(0)
    for i in range(number):
        height, width = SHAPES[i % len(SHAPES)]
        image = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), (0, 0), 5)
        for _ in range(5):
            centre = int(rng.integers(width)), int(rng.integers(height))
            cv2.circle(image, centre, int(rng.integers(10, 80)), tuple(map(int, rng.integers(0, 256, 3))), -1)
        noisy = np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(work / f"{i}.png"), noisy)


def make_spec(work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Write what all sides share, without thresholds."""
    import yaml

    from tests.harness import option

    settings = option("pipeline", "saa_plus")
    settings |= {"prompts": str(work / "prompts.yaml"), "area_ceiling": None}
    settings["detector"] |= {
        "weights": str(work / "detector.pth"),
        "tokenizer": str(work / "vocab.txt"),
        "short_side": options.short_side,
        "long_side": options.short_side * 1333 // 800,
        "floor": 0.3,
        "precision": options.precision,
        "kernels": options.kernels[0],
    }
    settings["sam"] |= {"model": options.sam, "weights": str(work / "sam.pth"), "precision": options.precision}
    settings["saliency"]["backbone"] |= {"weights": str(work / "saliency.pth"), "precision": options.precision}
    table = {
        "source": "perf",
        "general": [],
        "defaults": {},
        "categories": {
            "part": {
                "word": None,
                "captions": [caption for caption, _ in QUESTIONS],
                "drop_phrase": "part",
                "object_name": WORDS,
                "stray_comma": True,
                "object_number": 1,
                "k": 5,
                "area": 0.95,
                "rules": [],
            }
        },
    }
    (work / "prompts.yaml").write_text(yaml.safe_dump(table))
    return {
        "settings": settings,
        "device": options.device,
        "threads": options.threads,
        "official": options.official,
        "object": WORDS + ",",
        "questions": [(caption, "part") for caption, _ in QUESTIONS],
        "area": 0.95,
        "k": 5,
        "thresholds": [],
        "text": 0.9,  # random word pieces seldom reach it, so that no box is dropped for its words
    }


def choose_thresholds(work: Path, spec: dict[str, Any], images: int) -> list[float]:
    """Return for each image a threshold that some thirty candidates pass, or a few more."""
    from benchmark.data.images import load_image
    from benchmark.models.grounding_dino import GroundingDino, normalise
    from benchmark.models.grounding_dino_build import load_grounding_dino
    from benchmark.models.runtime import Device

    detector = spec["settings"]["detector"]
    network = load_grounding_dino(
        "swin_t", weights=work / "detector.pth", vocabulary=work / "vocab.txt", device=spec["device"]
    )
    model = GroundingDino(
        network,
        device=Device(name=spec["device"]),
        short_side=detector["short_side"],
        long_side=detector["long_side"],
        captions_per_batch=6,
    )
    captions = [normalise(caption) for caption, _ in spec["questions"]] + [normalise(spec["object"])]
    thresholds = []
    for number in range(images):
        found = model.detect(load_image(work / f"{number}.png"), captions, floor=0.3)
        areas, objects = found.boxes[:, 2] * found.boxes[:, 3], found.caption == len(QUESTIONS)
        scores = np.unique(found.scores)[::-1]
        for value in scores[1:-NEXT]:
            some = objects & (found.scores > value)
            if some.any():
                passing = ~objects & (found.scores > value) & (areas < areas[some].max() * 0.9)
                if passing.sum() >= 30:
                    break
        below = scores[scores <= value][:NEXT]
        widest = int(np.argmax(below[:-1] - below[1:]))
        thresholds.append(float(below[widest : widest + 2].mean()))
    return thresholds


def run_side(side: str, work: Path, spec: dict[str, Any]) -> dict[str, Any]:
    """Run one side in its own process; return its record."""
    (work / "spec.json").write_text(json.dumps(spec))
    for store in ("store", "warm-up"):
        shutil.rmtree(work / store, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-W", "ignore", str(ROOT / "tests" / "perf" / "saa_sides.py"), side, str(work)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        check=True,
    )
    record: dict[str, Any] = json.loads((work / f"{side}.json").read_text())
    with np.load(work / f"{side}.npz") as maps:
        record["maps"] = [maps[name] for name in maps.files]
    return record


def saliency_ratios() -> dict[str, float]:
    """Time the saliency of fixed features against its literal form, and check that they agree."""
    import torch

    from benchmark.pipelines.saa.levels import Levels
    from benchmark.pipelines.saa.saliency import between_objects, whole_image
    from tests.perf import saa_literal

    network = saa_literal.saliency_network()
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    rows, columns = np.mgrid[:256, :256]
    masks = np.array([(rows - y) ** 2 + (columns - x) ** 2 < 20**2 for y in (50, 130, 210) for x in (50, 130, 210)])
    ratios = {}
    with torch.inference_mode():
        small = saa_literal.feature_maps(network, image, side=256)
        large = saa_literal.feature_maps(network, image, side=1024)
        pairs: dict[str, tuple[Callable[[], NDArray[Any]], Callable[[], NDArray[Any]]]] = {
            "whole": (
                lambda: saa_literal.whole_image(small),
                lambda: whole_image(Levels(small), number=400, neighbours="farthest", factor=0.5),
            ),
            "between": (
                lambda: saa_literal.between_objects(large, masks),
                lambda: between_objects(Levels(large), masks),
            ),
        }
        for mode, (slow, fast) in pairs.items():
            times, maps = [], []
            for work in (slow, fast):
                work()
                start = time.perf_counter()
                maps.append(work())
                times.append(time.perf_counter() - start)
            ratios[mode] = times[0] / times[1]
            difference = float(np.abs(maps[0] - maps[1]).max())
            print(
                f"saliency {mode}: {times[0]:.2f} s literal, {times[1]:.2f} s ours, largest difference {difference:.1e}"
            )
    return ratios


def report(name: str, record: dict[str, Any], other: dict[str, Any] | None = None) -> int:
    """Print a side, and how its maps differ from another's; return the number of pixels that differ."""
    images = len(record["maps"])
    steps = ", ".join(f"{k} {v / images:.2f}" for k, v in sorted(record["seconds"].items()))
    print(f"{name}: seconds per image {steps}; peak {record['peak_mb']:.0f} MB")
    if other is None:
        return 0
    gaps = [np.abs(a - b) for a, b in zip(other["maps"], record["maps"], strict=True)]
    moved = sum(int((gap > 1e-4).sum()) for gap in gaps)
    inside = max(float(gap[gap <= 1e-4].max(initial=0)) for gap in gaps)
    largest, highest = max(float(gap.max()) for gap in gaps), max(float(m.max()) for m in record["maps"])
    size = sum(gap.size for gap in gaps)
    print(f"{name}: {moved} of {size} pixels differ by more than 1e-4, the others by {inside:.1e}")
    print(f"{name}: largest difference of the maps {largest:.2e}; largest score {highest:.3f}")
    return moved


def main() -> None:
    """Run all sides and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", help="checkout of caoyunkang/Segment-Any-Anomaly, branch SAA-plus")
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--sam", default="vit_b", choices=["vit_b", "vit_l", "vit_h"])
    parser.add_argument("--short-side", type=int, default=800)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"], help="of ours; the others stay fp32")
    parser.add_argument("--kernels", nargs="+", default=["fast"], choices=["fast", "library"], help="of our detector")
    parser.add_argument("--rounds", type=int, default=1, help="of the sides one after the other; the least time counts")
    parser.add_argument("--itself", action="store_true", help="also compare the other side with itself")
    parser.add_argument("--skip-saliency", action="store_true", help="do not time the saliency by itself")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    name = "official" if options.official else "literal"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_weights(work, options.sam)
        write_images(work, options.images)
        spec = make_spec(work, options)
        spec["thresholds"] = choose_thresholds(work, spec, options.images)
        others: list[dict[str, Any]] = []
        mine: dict[str, list[dict[str, Any]]] = {kernels: [] for kernels in options.kernels}
        for _ in range(options.rounds):
            others.append(run_side(name, work, spec))
            for kernels, records in mine.items():
                spec["settings"]["detector"]["kernels"] = kernels
                records.append(run_side("ours", work, spec))
        again = run_side(name, work, {**spec, "threads": options.threads + 1}) if options.itself else None
    report(name, others[0])
    if again is not None:
        print(f"PERF pixels_{name}_itself {report(f'{name}, one more thread', again, others[0])}")
    for kernels, records in mine.items():
        print(f"PERF pixels_moved_{kernels} {report(f'ours, {kernels}', records[0], others[0])}")
        print(f"PERF memory_over_{name}_{kernels} {records[0]['peak_mb'] / others[0]['peak_mb']:.2f}")
        for clock in ("seconds", "cpu"):
            slow, quick = (min(record[clock]["total"] for record in side) for side in (others, records))
            print(f"{clock} per image: {name} {slow / options.images:.1f}, ours {quick / options.images:.1f}")
            print(f"PERF speedup_{name}_{options.precision}_{kernels}_{clock} {slow / quick:.2f}")
    if options.skip_saliency:
        return
    saliency = saliency_ratios()
    for mode, value in saliency.items():
        print(f"PERF speedup_saliency_{mode} {value:.2f}")
    print(f"PERF speedup_saliency {min(saliency.values()):.2f}")


if __name__ == "__main__":
    main()

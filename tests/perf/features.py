"""Images per second of the embedded network in this package's features, against a plain loop with timm.

    python tests/perf/features.py [--images 64] [--rounds 5] [--threads 2]

Both get the same images, resize them to the same square with the same filter, and return the maps of stride 8 and 16.
The loop is the one that a reader of timm's documentation writes: ``features_only``, batches, no gradients; its best
batch size counts. The ways take turns, and the quickest round of each counts, as other work on the machine slows both.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmark.core.samples import Manifest
from benchmark.models.backbone import Backbone, FeatureNetwork
from benchmark.models.choice import Networks, choose
from benchmark.models.weights_file import read_state
from benchmark.stages.context import Context
from benchmark.stages.store import Store
from tests.harness import typed

BATCHES = (1, 8, 16)
Images = list[NDArray[np.uint8]]
Maps = list[tuple[torch.Tensor, ...]]


def ours(context: Context, backbone: Backbone, weights: Path) -> FeatureNetwork:
    """Return the network as a stage loads it; ``weights`` is where the file was found."""
    chosen = choose(context, Networks(wanted=backbone.wanted()), pipeline="patchcore")["features"]
    assert chosen.path == weights
    return backbone.load(context, chosen)


def plain_loop(network: FeatureNetwork, weights: Path) -> Callable[[Images, int], Maps]:
    """Return the loop over batches, with the same weights and normalisation."""
    import timm

    model = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(2, 3)).eval()
    # The package's file lists timm's tensors in timm's order; what the last map does not need is left over.
    whole = timm.create_model("tf_efficientnet_lite0").state_dict()
    named = dict(zip(whole, read_state(weights).values(), strict=True))
    model.load_state_dict({name: named[name.replace("blocks_", "blocks.")] for name in model.state_dict()})
    mean, std = torch.tensor(network.mean).view(3, 1, 1), torch.tensor(network.std).view(3, 1, 1)
    side = network.side
    assert side is not None

    def ready(image: NDArray[np.uint8]) -> torch.Tensor:
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        resized = torch.nn.functional.interpolate(pixels, size=(side, side), mode="bilinear", antialias=True)
        return (resized[0] - mean) / std

    @torch.inference_mode()
    def run(images: Images, batch: int) -> Maps:
        found: Maps = []
        for start in range(0, len(images), batch):
            layers = model(torch.stack([ready(image) for image in images[start : start + batch]]))
            found += zip(*layers, strict=True)
        return found

    return run


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def largest_difference(one: Maps, other: Maps) -> float:
    """Largest difference of two values of a map, as a part of the map's largest value."""
    pairs = [pair for a, b in zip(one, other, strict=True) for pair in zip(a, b, strict=True)]
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


def main() -> None:
    """Measure and print; ends with an error where the two ways' maps differ by more than rounding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (256, 256, 3), dtype=np.uint8) for _ in range(chosen.images)]
    with tempfile.TemporaryDirectory() as folder:
        context = Context(manifest=Manifest(dataset="none", samples=()), samples=(), store=Store(Path(folder)))
        backbone = typed("pipeline=patchcore").pipeline.backbone  # type: ignore[attr-defined]
        weights = choose(context, Networks(wanted=backbone.wanted()), pipeline="patchcore")["features"].path
        network = ours(context, backbone, weights)
        found = [one.maps for one in network.features(images)]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        loop = plain_loop(network, weights)
        difference = largest_difference(found, loop(images, BATCHES[-1]))
        assert difference < 1e-3, f"the maps differ by {difference:.1e} of their largest value"
        ways: dict[str, Callable[[], object]] = {"ours": lambda: network.features(images)}
        ways |= {f"loop, batches of {size}": lambda size=size: loop(images, size) for size in BATCHES}  # type: ignore[misc]
        best = dict.fromkeys(ways, float("inf"))
        for _ in range(chosen.rounds):
            best = {name: min(best[name], seconds(work)) for name, work in ways.items()}
    for name, taken in best.items():
        print(f"{name}: {chosen.images / taken:.1f} images/s on {chosen.threads} threads")
    print(f"largest difference of the maps: {difference:.1e} of the largest value")
    rival = min(taken for name, taken in best.items() if name != "ours")
    print(f"PERF features_over_plain_loop {rival / best['ours']:.2f}")
    print(f"PERF features_peak_mb {peak:.0f}")


if __name__ == "__main__":
    main()

"""WinCLIP's windows encoded all of a size at once, against one window at a time.

The published network (ViT-B/16+ at 240 pixels) with random weights, one image, on the processor with one thread.
Processor time is measured, so that other work on the machine counts less. Maps must be equal.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from benchmark.models.clip import Clip, squash
from benchmark.models.clip_build import load_clip
from benchmark.models.clip_windows import encode_windows, window_places
from benchmark.models.runtime import Device
from benchmark.models.text_image import Tower
from benchmark.models.winclip import l2_normalise, text_map

SIZES = (2, 3)


def one_at_a_time(tower: Tower, start: torch.Tensor, places: np.ndarray) -> torch.Tensor:
    return torch.cat([encode_windows(tower, start, place[None]) for place in places], dim=1)


def main() -> None:
    torch.set_num_threads(1)
    clip = Clip(load_clip("vit_b_16_plus_240", weights=None, device="cpu"), device=Device(name="cpu"))
    tower = clip.tower
    draw = np.random.default_rng(0)
    image = squash(draw.integers(0, 256, (240, 240, 3), dtype=np.uint8), 240)
    texts = l2_normalise(draw.standard_normal((2, clip.width)))
    ways: dict[str, Callable[..., torch.Tensor]] = {"batched": encode_windows, "one at a time": one_at_a_time}
    seconds: dict[str, float] = {}
    maps = {}
    with clip.device.inference():
        start = tower.embed(image[None])
        encode_windows(tower, start, window_places(15, 2)[:2])
        for name, encode in ways.items():
            began = time.process_time()
            windows = [encode(tower, start, window_places(15, size))[0].numpy() for size in SIZES]
            seconds[name] = time.process_time() - began
            maps[name] = text_map(
                windows, texts, sizes=SIZES, side=15, temperature=0.07, harmonic_of="abnormal", image_score=0.5
            )
    worst = float(np.abs(maps["batched"] - maps["one at a time"]).max())
    assert worst < 1e-5, f"the maps differ by {worst}"
    print(f"365 windows: batched {seconds['batched']:.2f} s, one at a time {seconds['one at a time']:.2f} s")
    print(f"largest difference of the maps: {worst:.1e}")
    print(f"PERF speedup_winclip_windows {seconds['one at a time'] / seconds['batched']:.2f}")


if __name__ == "__main__":
    main()

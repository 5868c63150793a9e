"""Images per second of a zero-shot detector: ours against transformers' own pipeline, on equal networks.

Tiny OWL-ViT and OWLv2 and one of full size (OWL-ViT ViT-B/32 at 768 pixels), random weights, 4 texts about each of 4
images (2 at full size), batches of 1 and of up to 4, on the processor with one thread. Processor time is measured, so
that other work on the machine counts less. Scores must be equal: the pipeline asks text by text and runs the network
for each.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from benchmark.models import pretrained
from benchmark.models.detection_families import CLASSES, make_family
from benchmark.models.hf_detector import HfDetectionNetwork
from benchmark.models.runtime import Device, build
from benchmark.models.toy_tokenizer import clip_letters
from tests.models.hf_models import spread, write_detector

CPU = Device(name="cpu")
TEXTS = ("crack", "black hole", "scratch", "dent")
IMAGES = 4
FLOOR = 0.1


def tiny(folder: Path, kind: str) -> tuple[Any, Any, Any]:
    """Network, image processor and tokenizer of a tiny detector."""
    model = str(write_detector(folder / kind, kind))
    config = pretrained.read_config(model, of=CLASSES, what="detector")
    cls = getattr(transformers, CLASSES[kind])
    network = pretrained.load_network(cls, config, Path(model) / "model.safetensors", device="cpu")
    return network, pretrained.image_processor(model, backend="pil"), pretrained.tokenizer(model)


def full() -> tuple[Any, Any, Any]:
    """The same of full size."""

    def make() -> Any:
        config = transformers.OwlViTConfig()
        config.text_config.pad_token_id, config.text_config.bos_token_id, config.text_config.eos_token_id = 0, 1, 2
        network = transformers.OwlViTForObjectDetection(config)
        with torch.no_grad():
            spread(network, "owlvit")
        return network

    processor = transformers.OwlViTImageProcessorPil(size={"height": 768, "width": 768})
    return build(make, device="cpu"), processor, clip_letters(16)


def seconds_of(work: Any) -> tuple[Any, float]:
    began = time.process_time()
    found = work()
    return found, time.process_time() - began


def measure(name: str, parts: tuple[Any, Any, Any], images: list[np.ndarray], batch: int) -> float:
    """Print both speeds; return theirs over ours in seconds."""
    network, processor, tokenizer = parts
    family = make_family(network, processor, tokenizer, device=CPU, captions_per_batch=4)
    ours = HfDetectionNetwork(family, device=CPU, nms=None)
    from PIL import Image

    theirs: Any = transformers.pipeline(
        "zero-shot-object-detection", model=network, image_processor=processor, tokenizer=tokenizer, batch_size=batch
    )
    shown = [{"image": Image.fromarray(image), "candidate_labels": list(TEXTS)} for image in images]
    captions = [f"{text}." for text in TEXTS]

    def ask() -> list[Any]:
        parts = [images[start : start + batch] for start in range(0, len(images), batch)]
        return [one for part in parts for one in ours.detect_all(part, captions, [""] * len(captions), floor=FLOOR)]

    ours.detect_all(images[:1], captions, [""] * len(captions), floor=FLOOR)  # a first call is slow
    theirs({**shown[0], "candidate_labels": list(TEXTS[:1])}, threshold=FLOOR)
    mine, own_seconds = seconds_of(ask)
    answers, their_seconds = seconds_of(lambda: theirs(shown, threshold=FLOOR))
    for found, answer in zip(mine, answers, strict=True):
        scores = np.sort([row["score"] for row in answer])
        np.testing.assert_allclose(np.sort(found.scores), scores, atol=1e-4)
    speeds = len(images) / own_seconds, len(images) / their_seconds
    print(f"{name}, batches of {batch}: ours {speeds[0]:.2f} images a second, transformers' pipeline {speeds[1]:.2f}")
    return their_seconds / own_seconds


def main() -> None:
    torch.set_num_threads(1)
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (300, 400, 3), dtype=np.uint8) for _ in range(IMAGES)]
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        networks = {kind: tiny(Path(folder), kind) for kind in ("owlvit", "owlv2")} | {"owlvit ViT-B/32": full()}
        for name, parts in networks.items():
            some = images if name in ("owlvit", "owlv2") else images[:2]
            ratios += [measure(name, parts, some, batch) for batch in (1, 4)]
    print(f"PERF hf_pipeline_over_ours {ratios[-2]:.2f}")
    print(f"PERF hf_pipeline_over_ours_batch_4 {ratios[-1]:.2f}")


if __name__ == "__main__":
    main()

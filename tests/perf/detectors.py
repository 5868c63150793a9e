"""Images per second of a zero-shot detector: ours against transformers' own pipeline, on equal networks.

Tiny OWL-ViT and OWLv2, and one of full size (OWL-ViT ViT-B/32, whose 150 million parameters see 384 pixels, so that
this ends within minutes on a busy machine), random weights, some texts about each image, batches of 1 and of 4, on the
processor with one thread. Processor time is measured, batch after batch in turn, so that other work on the machine
counts less. Scores must be equal: the pipeline asks text by text and runs the network for each.
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
TEXTS = ("crack", "black hole", "scratch")
SIDE = 384
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
        config = transformers.OwlViTConfig(vision_config={"image_size": SIDE})
        config.text_config.pad_token_id, config.text_config.bos_token_id, config.text_config.eos_token_id = 0, 1, 2
        network = transformers.OwlViTForObjectDetection(config)
        with torch.no_grad():
            spread(network, "owlvit")
        return network

    processor = transformers.OwlViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
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
    captions = [f"{text}." for text in TEXTS]
    spent = [0.0, 0.0]
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        shown = [{"image": Image.fromarray(image), "candidate_labels": list(TEXTS)} for image in part]
        mine, own = seconds_of(lambda: ours.detect_all(part, captions, [""] * len(captions), floor=FLOOR))  # noqa: B023
        answers, other = seconds_of(lambda: theirs(shown, threshold=FLOOR))  # noqa: B023
        spent = [spent[0] + own, spent[1] + other]
        for found, answer in zip(mine, answers, strict=True):
            scores = np.sort([row["score"] for row in answer])
            np.testing.assert_allclose(np.sort(found.scores), scores, atol=1e-4)
    speeds = [len(images) / seconds for seconds in spent]
    print(
        f"{name}, batches of {batch}: ours {speeds[0]:.2f} images a second, transformers' pipeline {speeds[1]:.2f}",
        flush=True,
    )
    return spent[1] / spent[0]


def main() -> None:
    torch.set_num_threads(1)
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (300, 400, 3), dtype=np.uint8) for _ in range(4)]
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("owlvit", "owlv2"):
            parts = tiny(Path(folder), kind)
            measure(f"{kind}, first calls", parts, images[:1], 1)
            for batch in (1, 4):
                measure(kind, parts, images, batch)
    parts = full()
    for batch, some in ((1, images[:2]), (4, images)):
        ratio = measure("owlvit ViT-B/32", parts, some, batch)
        print(f"PERF hf_pipeline_over_ours{'' if batch == 1 else '_batch_4'} {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()

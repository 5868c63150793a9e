"""Runs in the environment of a user's EVF-SAM checkout, apart from this package, and answers one image after another.

Started as ``python evf_sam_worker.py <weights folder> <device> <precision> <semantic>`` in the folder of the checkout.
Each line on standard input is a JSON object {image, texts, answer}: the path of an (H, W, 3) uint8 array, the texts,
and the path that the logits, (N, H, W) float32, are written to; it is answered with a line {"ok": true}.
It follows hustvl/EVF-SAM:inference.py (model type ``ori``), and imports nothing of this package.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any


def load(folder: str, device: str, precision: str) -> tuple[Any, Any]:
    """Load the network and its tokenizer as the checkout's own script does."""
    import torch
    from model.evf_sam import EvfSamModel  # type: ignore[import-not-found]
    from transformers import AutoTokenizer

    kind = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right", use_fast=False)
    network = EvfSamModel.from_pretrained(folder, low_cpu_mem_usage=True, torch_dtype=kind)
    return tokenizer, network.to(device).eval()


def inputs(image: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """Prepare an image for SAM (long side 1024, padded) and for BEiT-3 (224 square); also SAM's size before padding."""
    import torch
    from model.segment_anything.utils.transforms import ResizeLongestSide  # type: ignore[import-not-found]
    from torch.nn import functional as F

    sam = torch.from_numpy(ResizeLongestSide(1024).apply_image(image)).permute(2, 0, 1).float()
    size = tuple(sam.shape[1:])
    mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    deviation = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    sam = F.pad((sam - mean) / deviation, (0, 1024 - size[1], 0, 1024 - size[0]))
    plain = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    # The script asks torchvision for antialias=None on a tensor: none in the versions that it was written for.
    small = F.interpolate(plain, (224, 224), mode="bicubic", align_corners=False)
    return sam[None], (small - 0.5) / 0.5, size


def casting(device: str, precision: str) -> Any:
    """The autocast that the checkout's script runs in; none for fp32."""
    import torch

    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(torch.device(device).type, dtype=kind) if kind else contextlib.nullcontext()


def main(folder: str, device: str, precision: str, semantic: str) -> None:
    """Answer until standard input ends."""
    import numpy as np
    import torch

    tokenizer, network = load(folder, device, precision)
    print(json.dumps({"ok": True}), file=sys.__stdout__, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        image = np.load(asked["image"], allow_pickle=False)
        sam, small, size = inputs(image)
        found = []
        for text in asked["texts"]:
            words = tokenizer("[semantic] " + text if semantic == "true" else text, return_tensors="pt")["input_ids"]
            kind = next(network.parameters()).dtype
            with torch.no_grad(), casting(device, precision):
                logits = network.inference(
                    sam.to(device, kind),
                    small.to(device, kind),
                    words.to(device),
                    resize_list=[size],
                    original_size_list=[image.shape[:2]],
                )
            found.append(logits[0].float().cpu().numpy())
        np.save(asked["answer"], np.stack(found).astype(np.float32))
        print(json.dumps({"ok": True}), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    # What libraries print must not get between the answers.
    sys.stdout = sys.stderr
    sys.path[0] = ""  # the checkout, in place of this file's folder
    main(*sys.argv[1:])

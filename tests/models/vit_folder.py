"""A tiny vision transformer of transformers, saved as a model of the hub is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MEAN, STD = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]


def write_vit(folder: Path, kind: str = "dinov2") -> Path:
    """Write ``config.json``, ``preprocessor_config.json`` and random weights of a real class; returns the folder."""
    import torch
    import transformers

    shape: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "patch_size": 16,
        "image_size": 64,
    }
    if kind == "dinov2":
        config: Any = transformers.Dinov2Config(**shape, mlp_ratio=2)
    elif kind == "vit":
        config = transformers.ViTConfig(**shape, intermediate_size=64)
    elif kind == "dinov3":
        config = transformers.DINOv3ViTConfig(**shape, intermediate_size=64, num_register_tokens=4)
    else:
        vision = {**shape, "intermediate_size": 64}
        text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = transformers.SiglipConfig(vision_config=vision, text_config={**text, "vocab_size": 100})
    torch.manual_seed(0)
    network = transformers.AutoModel.from_config(config)
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": MEAN, "image_std": STD}))
    return folder

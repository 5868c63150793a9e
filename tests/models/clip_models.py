"""Tiny text-image networks of the real classes with random weights: of transformers, saved as models of the hub are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.models.toy_tokenizer import clip_letters

KINDS = ("clip", "metaclip_2", "altclip", "chinese_clip", "siglip", "siglip2")
WITH_CLASS_TOKEN = KINDS[:4]


def write_clip(folder: Path, kind: str) -> Path:
    """Write a network of about a hundred thousand parameters with processor and tokenizer; returns the folder."""
    import torch
    import transformers as t

    from benchmark.models.hf_clip import CLASSES

    torch.manual_seed(0)
    network = getattr(t, CLASSES[kind])(_config(kind))
    with torch.no_grad():
        for name, value in network.named_parameters():
            if "logit_" not in name and not name.endswith("bias") and value.ndim > 1:
                value.copy_(torch.randn(value.shape) * 0.1)  # networks begin so near to zero that all texts are alike
        if "siglip" in kind:
            network.logit_scale.fill_(2.0), network.logit_bias.fill_(-1.5)
    network.eval().save_pretrained(folder)
    _processor(kind).save_pretrained(folder)
    clip_letters(16).save_pretrained(folder)
    return folder


def _config(kind: str) -> Any:
    import transformers as t

    part: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    text = {**part, "vocab_size": 128, "max_position_embeddings": 16}
    text |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    vision = {**part, "image_size": 64, "patch_size": 16}
    if kind in ("siglip", "siglip2"):
        if kind == "siglip2":
            vision = {**part, "num_patches": 16, "patch_size": 16}
        cls = t.SiglipConfig if kind == "siglip" else t.Siglip2Config
        return cls(text_config={**text, "projection_size": 32}, vision_config=vision)
    if kind == "altclip":
        text |= {"project_dim": 24, "max_position_embeddings": 17}
    cls = {
        "clip": t.CLIPConfig,
        "metaclip_2": t.MetaClip2Config,
        "altclip": t.AltCLIPConfig,
        "chinese_clip": t.ChineseCLIPConfig,
    }[kind]
    return cls(text_config=text, vision_config=vision, projection_dim=24)


def _processor(kind: str) -> Any:
    import transformers as t

    if kind == "siglip2":
        return t.Siglip2ImageProcessor(patch_size=16, max_num_patches=16)
    if kind == "siglip":
        return t.SiglipImageProcessor(size={"height": 64, "width": 64})
    size = {"height": 64, "width": 64}
    cls = t.ChineseCLIPImageProcessor if kind == "chinese_clip" else t.CLIPImageProcessor
    return cls(size=size, do_center_crop=False, crop_size=size)


OPEN_CLIPS = {
    "toy-plus": {  # clip_build's toy_plus
        "embed_dim": 64,
        "vision_cfg": {"image_size": 96, "layers": 12, "width": 128, "patch_size": 16, "head_width": 64},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
    },
    "toy-siglip2": {
        "embed_dim": 64,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none"},
        "text_cfg": {
            "context_length": 16,
            "vocab_size": 128,
            "hf_tokenizer_name": "toys/letters",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "width": 64,
            "heads": 2,
            "layers": 1,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
        },
    },
}
"""Networks of open_clip's real classes, as its list describes them: a CLIP, and a SigLIP 2 on timm's trunk."""


def write_open_clips(folder: Path) -> dict[str, Path]:
    """Let open_clip know of the toys and write weights and tokenizer of each; returns the weights files by name."""
    import json

    import open_clip
    import torch
    from safetensors.torch import save_file

    found = {}
    for name, config in OPEN_CLIPS.items():
        (folder / name).mkdir(parents=True)
        described = folder / f"{name}.json"
        described.write_text(json.dumps(config))
        open_clip.add_model_config(described)
        torch.manual_seed(0)
        network = open_clip.create_model(name, pretrained=None)
        found[name] = folder / name / "open_clip_model.safetensors"
        save_file(network.state_dict(), found[name])
        clip_letters(16).save_pretrained(folder / name)
    return found

"""The official side of CLIPSeg, timojl/clipseg; nothing of its code is part of this project."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from tests.parity.official.found import Found
from tests.parity.official.networks import CLIPSEG_SIDE
from tests.parity.official.theirs_grounded import each, stopped
from tests.parity.official.theirs_text2seg import openai_clip

NAMES = (
    (r"^clip\.(?:text_model|vision_model)\.encoder\.layers\.(\d+)\.", r"resblocks.\1."),
    (r"^decoder\.layers\.", "blocks."),
    (r"^decoder\.transposed_convolution\.", "trans_conv."),
    (r"^decoder\.", ""),
)
BLOCK = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
DECODER = {"layer_norm1": "norm1", "layer_norm2": "norm2", "mlp.fc1": "linear1", "mlp.fc2": "linear2"}
SINGLE = {
    "logit_scale": "logit_scale",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "text_projection.weight": "text_projection",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "visual_projection.weight": "visual.proj",
}
"""Names of transformers and of OpenAI's CLIP; projections are transposed."""


def clipseg(checkout: Path, folder: Path, spec: dict[str, Any]) -> list[Found]:
    """Run models/clipseg.py, CLIPDensePredT, as its Quickstart does; each text by itself, the largest is the map.

    It imports OpenAI's ``clip``, of which xmed-lab/CLIP_Surgery brings a copy. The quickstart reads an RGB image;
    other modes are converted first. Its resize is that of the torchvision of its time, without antialias.
    """
    import torch
    from PIL import Image
    from safetensors.torch import load_file
    from torchvision import transforms

    clip = openai_clip(spec)
    whole, decoder = translated(load_file(folder / "clipseg.safetensors"))
    loaded = SimpleNamespace(
        load=lambda name, **_: (clip.build_model(name, dict(whole)).float(), None), tokenize=clip.tokenize
    )
    sys.path.insert(0, str(checkout))
    side = CLIPSEG_SIDE[spec["size"]]
    normal = transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    transform = transforms.Compose([transforms.ToTensor(), normal, transforms.Resize((side, side), antialias=False)])

    def one(case: dict[str, Any]) -> Found:
        image = Image.open(case["image"]).convert("RGB")
        pixels, texts = transform(image).unsqueeze(0), case["texts"]

        def answer() -> Found:
            found = torch.sigmoid(model(pixels.repeat(len(texts), 1, 1, 1), texts)[0])[:, 0].amax(0)
            size = (image.height, image.width)
            drawn = torch.nn.functional.interpolate(found[None, None], size, mode="bilinear")[0, 0].numpy()
            return Found(map=drawn, scores=(float(drawn.max()),))

        return stopped(answer, threshold=None)

    with mock.patch.dict(sys.modules, {"clip": loaded}), torch.no_grad():  # type: ignore[dict-item]
        theirs = importlib.import_module("models.clipseg")
        model = theirs.CLIPDensePredT(version="ViT-B/16", reduce_dim=64, complex_trans_conv=True).eval()
        unknown = model.load_state_dict(decoder, strict=False).unexpected_keys
        assert not unknown, unknown
        return each(one, spec["cases"])


def translated(state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return transformers' weights of CLIPSeg under OpenAI's names for CLIP, and under the authors' for the decoder."""
    import torch

    clip: dict[str, Any] = {}
    decoder: dict[str, Any] = {}
    thirds: dict[str, dict[str, Any]] = {}
    for name, value in state.items():
        if name.removeprefix("clip.") in SINGLE:
            flat = name.endswith("_projection.weight")
            clip[SINGLE[name.removeprefix("clip.")]] = value.T.contiguous() if flat else value
            continue
        inner = name.startswith("clip.")
        new = name
        for pattern, text in NAMES:
            new = re.sub(pattern, text, new)
        for one, other in (BLOCK if inner else DECODER).items():
            new = new.replace(one, other)
        if inner:
            new = ("visual." if "vision_model" in name else "") + "transformer." + new
        new = new.replace("self_attn", "attn" if inner else "self_attn")
        part = re.search(r"\.([qkv])_proj\.(weight|bias)$", new)
        if part:
            whole = f"{new[: part.start()]}.in_proj_{part[2]}"
            thirds.setdefault(whole, {})[part[1]] = value
            continue
        (clip if inner else decoder)[new] = value
    for name, parts in thirds.items():
        target = clip if "resblocks" in name else decoder
        target[name] = torch.cat([parts[letter] for letter in "qkv"])
    return clip, decoder

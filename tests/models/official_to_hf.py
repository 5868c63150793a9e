"""Names of the official GroundingDINO's weights as transformers has them, to compare the two on equal ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SWIN = "model.backbone.conv_encoder.model"
RULES = (
    (r"^transformer\.", "model."),
    (r"^model\.encoder\.layers\.(\d+)\.", r"model.encoder.layers.\1.deformable_layer."),
    (r"(deformable_layer)\.norm1\.", r"\1.self_attn_layer_norm."),
    (r"(deformable_layer)\.norm2\.", r"\1.final_layer_norm."),
    (r"^model\.encoder\.text_layers\.(\d+)\.", r"model.encoder.layers.\1.text_enhancer_layer."),
    (r"(text_enhancer_layer)\.norm1\.", r"\1.layer_norm_before."),
    (r"(text_enhancer_layer)\.norm2\.", r"\1.layer_norm_after."),
    (r"^model\.encoder\.fusion_layers\.(\d+)\.", r"model.encoder.layers.\1.fusion_layer."),
    (r"fusion_layer\.gamma_v", "fusion_layer.vision_param"),
    (r"fusion_layer\.gamma_l", "fusion_layer.text_param"),
    (r"fusion_layer\.layer_norm_v\.", "fusion_layer.layer_norm_vision."),
    (r"fusion_layer\.layer_norm_l\.", "fusion_layer.layer_norm_text."),
    (r"fusion_layer\.attn\.(values_|out_)?v_proj", r"fusion_layer.attn.\1vision_proj"),
    (r"fusion_layer\.attn\.(values_|out_)?l_proj", r"fusion_layer.attn.\1text_proj"),
    (r"(decoder\.layers\.\d+)\.cross_attn\.", r"\1.encoder_attn."),
    (r"(decoder\.layers\.\d+)\.norm1\.", r"\1.encoder_attn_layer_norm."),
    (r"(decoder\.layers\.\d+)\.ca_text\.", r"\1.encoder_attn_text."),
    (r"(decoder\.layers\.\d+)\.catext_norm\.", r"\1.encoder_attn_text_layer_norm."),
    (r"(decoder\.layers\.\d+)\.norm2\.", r"\1.self_attn_layer_norm."),
    (r"(decoder\.layers\.\d+)\.norm3\.", r"\1.final_layer_norm."),
    (r"\.linear([12])\.", r".fc\1."),
    (r"^model\.decoder\.norm\.", "model.decoder.layer_norm."),
    (r"decoder\.ref_point_head\.", "decoder.reference_points_head."),
    (r"^model\.tgt_embed\.", "model.query_position_embeddings."),
    (r"enc_out_bbox_embed", "encoder_output_bbox_embed"),
    (r"^bert\.", "model.text_backbone."),
    (r"^feat_map\.", "model.text_projection."),
    (r"^input_proj\.", "model.input_proj_vision."),
    (r"^backbone\.0\.patch_embed\.proj\.", f"{SWIN}.swin.embeddings.patch_embeddings.projection."),
    (r"^backbone\.0\.patch_embed\.norm\.", f"{SWIN}.swin.embeddings.norm."),
    (r"^backbone\.0\.layers\.", f"{SWIN}.swin.encoder.layers."),
    (r"(blocks\.\d+)\.norm1\.", r"\1.layernorm_before."),
    (r"(blocks\.\d+)\.norm2\.", r"\1.layernorm_after."),
    (r"attn\.relative_position_bias_table", "attention.relative_position_bias.relative_position_bias_table"),
    (r"(blocks\.\d+)\.attn\.proj\.", r"\1.attention.o_proj."),
)
LEFT_OUT = re.compile(r"relative_position_index|^bert\.pooler\.|position_ids$|label_enc")
"""What transformers' network computes itself or does not have."""


def converted(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the official state dict under transformers' names, packed projections cut in three."""
    result: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if LEFT_OUT.search(name):
            continue
        if stage := re.fullmatch(r"backbone\.0\.norm(\d)\.(weight|bias)", name):
            result[f"{SWIN}.hidden_states_norms.stage{int(stage[1]) + 1}.{stage[2]}"] = tensor
            continue
        for old, new in RULES:
            name = re.sub(old, new, name)
        if packed := re.fullmatch(r"(.*)\.attn\.qkv\.(weight|bias)", name):
            names = [f"{packed[1]}.attention.{part}_proj.{packed[2]}" for part in "qkv"]
        elif packed := re.fullmatch(r"(.*)\.in_proj_(weight|bias)", name):
            names = [f"{packed[1]}.{part}.{packed[2]}" for part in ("query", "key", "value")]
        else:
            names = [name]
        result |= dict(zip(names, tensor.chunk(len(names)), strict=True))
    return result

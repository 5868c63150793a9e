"""Tiny detectors and SAMs of transformers' real classes with random weights, saved as models of the hub are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.models.toy_tokenizer import clip_letters, toy_tokenizer
from tests.models.florence_model import florence2_config, florence2_processor, spread_florence2

DETECTORS = ("grounding-dino", "mm-grounding-dino", "omdet-turbo", "owlv2", "owlvit", "florence2")
SAMS = ("sam", "sam_hq", "sam2", "edgetam", "sam3_tracker")


def write_detector(folder: Path, kind: str) -> Path:
    """Write a detector of about a hundred thousand parameters with processor and tokenizer; returns the folder."""
    import torch
    import transformers as t

    from benchmark.models.detection_families import CLASSES

    torch.manual_seed(0)
    network = getattr(t, CLASSES[kind])(_detector_config(kind))
    with torch.no_grad():
        spread(network, kind)
    network.eval().save_pretrained(folder)
    processor, tokenizer = florence2_processor() if kind == "florence2" else _detector_processor(kind)
    processor.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def spread(network: Any, kind: str) -> None:
    """Let scores lie on both sides of a half and boxes differ: networks are built to say nothing at first."""
    import torch

    if kind == "florence2":
        spread_florence2(network)
        return
    if kind.startswith("owl"):
        for name, value in [*network.box_head.named_parameters(), *network.class_head.named_parameters()]:
            if "logit_" in name or "dense2" in name:
                value.copy_(torch.randn(value.shape) * 0.02)
        network.class_head.logit_scale.bias.fill_(6.0)
        return
    for name, value in network.named_parameters():
        if "bbox_embed" in name or "bbox_head" in name or "class_embed" in name or "class_head" in name:
            value.copy_(torch.randn(value.shape) * 0.2)


def _detector_config(kind: str) -> Any:
    import transformers as t

    text: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 128,
    }
    swin = t.SwinConfig(
        image_size=64,
        embed_dim=12,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )
    if kind.startswith("owl"):
        vision = {**text, "image_size": 96, "patch_size": 16}
        vision.pop("vocab_size")
        cls = t.Owlv2Config if kind == "owlv2" else t.OwlViTConfig
        return cls(
            text_config={
                **text,
                "max_position_embeddings": 16,
                "bos_token_id": 1,
                "eos_token_id": 2,
                "pad_token_id": 0,
            },
            vision_config=vision,
            projection_dim=32,
        )
    if kind == "florence2":
        return florence2_config()
    if kind == "omdet-turbo":
        swin.image_size = 96
        return t.OmDetTurboConfig(
            text_config=t.CLIPTextConfig(
                **{**text, "hidden_size": 64},
                max_position_embeddings=77,
                projection_dim=64,
                bos_token_id=1,
                eos_token_id=2,
                pad_token_id=0,
            ),
            backbone_config=swin,
            image_size=96,
            apply_layernorm_after_vision_backbone=False,
            num_queries=12,
            text_projection_in_dim=64,
            text_projection_out_dim=64,
            class_embed_dim=64,
            decoder_hidden_dim=32,
            encoder_hidden_dim=32,
            vision_features_channels=[32, 32, 32],
            encoder_in_channels=[24, 48, 96],
            encoder_dim_feedforward=64,
            decoder_dim_feedforward=64,
            decoder_num_heads=2,
            encoder_attention_heads=2,
            task_encoder_hidden_dim=64,
            decoder_num_layers=2,
            csp_activation="silu",
            use_timm_backbone=False,
            backbone=None,
        )
    cls = t.GroundingDinoConfig if kind == "grounding-dino" else t.MMGroundingDinoConfig
    return cls(
        text_config=t.BertConfig(**text),
        backbone_config=swin,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=20,
        num_feature_levels=4,
        use_timm_backbone=False,
        backbone=None,
    )


def _detector_processor(kind: str) -> tuple[Any, Any]:
    import transformers as t

    if kind in ("grounding-dino", "mm-grounding-dino"):
        return t.GroundingDinoImageProcessor(size={"shortest_edge": 96, "longest_edge": 200}), toy_tokenizer()
    size = {"height": 96, "width": 96}
    if kind == "omdet-turbo":
        return t.DetrImageProcessor(size=size, do_pad=False), clip_letters(77)
    cls = t.Owlv2ImageProcessor if kind == "owlv2" else t.OwlViTImageProcessor
    return cls(size=size), clip_letters(16)


def write_sam(folder: Path, kind: str) -> Path:
    """Write a SAM of some ten thousand parameters with its processor; returns the folder."""
    import torch
    import transformers as t

    from benchmark.models.hf_sam import CLASSES

    torch.manual_seed(0)
    network = getattr(t, CLASSES[kind])(_sam_config(kind))
    network.eval().save_pretrained(folder)
    if kind in ("sam", "sam_hq"):
        size = {"height": 64, "width": 64}
        processor = t.SamImageProcessor(
            size={"longest_edge": 64},
            pad_size=size,
            mask_size={"longest_edge": 16},
            mask_pad_size={"height": 16, "width": 16},
        )
    else:
        processor = _squashing_processor(kind)
    processor.save_pretrained(folder)
    return folder


def _sam_config(kind: str) -> Any:
    import transformers as t

    prompt = {"hidden_size": 32, "image_size": 64, "patch_size": 16, "mask_input_channels": 4}
    mask = {
        "hidden_size": 32,
        "mlp_dim": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "iou_head_depth": 2,
        "iou_head_hidden_dim": 32,
        "attention_downsample_rate": 2,
    }
    if kind in ("sam", "sam_hq"):
        vision = {
            "hidden_size": 32,
            "output_channels": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 16,
            "window_size": 2,
            "global_attn_indexes": [1],
            "mlp_dim": 64,
            "num_pos_feats": 16,
        }
        if kind == "sam":
            return t.SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=mask)
        return t.SamHQConfig(
            vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config={**mask, "vit_dim": 32}
        )
    if kind == "sam2":
        backbone = t.Sam2HieraDetConfig(
            hidden_size=8,
            num_attention_heads=1,
            image_size=[64, 64],
            blocks_per_stage=[1, 1, 2, 1],
            embed_dim_per_stage=[8, 16, 32, 64],
            num_attention_heads_per_stage=[1, 1, 2, 2],
            window_size_per_stage=[4, 4, 4, 2],
            global_attention_blocks=[3],
            window_positional_embedding_background_size=[4, 4],
        )
        vision = t.Sam2VisionConfig(
            backbone_config=backbone,
            backbone_channel_list=[64, 32, 16, 8],
            fpn_hidden_size=32,
            backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        )
        return t.Sam2Config(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=mask)
    if kind == "edgetam":
        parts = {
            "in_chans": 3,
            "features_only": True,
            "out_indices": (0, 1, 2, 3),
            "embed_dim": (8, 16, 24, 32),
            "depth": (1, 1, 1, 1),
        }
        vision = t.EdgeTamVisionConfig(
            backbone_config=t.TimmWrapperConfig(architecture="repvit_m0_9", model_args=parts),
            backbone_channel_list=[32, 24, 16, 8],
            fpn_hidden_size=32,
            backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        )
        return t.EdgeTamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=mask)
    vision = {
        "backbone_config": {
            "model_type": "sam3_vit_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 16,
            "window_size": 2,
            "global_attn_indexes": [1],
            "pretrain_image_size": 64,
        },
        "fpn_hidden_size": 32,
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
    }
    return t.Sam3TrackerConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=mask)


def write_video_sam(folder: Path, kind: str) -> dict[str, Any]:
    """Write ``sam2_video`` or ``sam3_video``, as the hub has SAM 2.1 and SAM 3; returns the weights."""
    import transformers as t

    memory = {
        "image_size": 64,
        "memory_attention_hidden_size": 32,
        "memory_attention_num_layers": 1,
        "memory_attention_num_attention_heads": 1,
        "memory_attention_feed_forward_hidden_size": 32,
        "memory_attention_rope_feat_sizes": [4, 4],
        "memory_encoder_hidden_size": 32,
        "memory_encoder_output_channels": 16,
        "memory_fuser_embed_dim": 32,
        "memory_fuser_intermediate_dim": 32,
        "memory_fuser_num_layers": 1,
        "mask_downsampler_embed_dim": 32,
    }
    image = _sam_config("sam2" if kind == "sam2_video" else "sam3_tracker")
    names = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
    parts = {name: getattr(image, name).to_dict() for name in names}
    if kind == "sam2_video":
        network: Any = t.Sam2VideoModel(t.Sam2VideoConfig(**parts, **memory))
    else:
        from benchmark.models.sam3 import _toy_config

        detector = _toy_config().to_dict() | {"vision_config": parts["vision_config"]}
        tracker = t.Sam3TrackerVideoConfig(**parts, **memory).to_dict()
        network = t.Sam3VideoModel(t.Sam3VideoConfig(detector_config=detector, tracker_config=tracker))
    network.eval().save_pretrained(folder)
    _squashing_processor(kind).save_pretrained(folder)
    weights: dict[str, Any] = network.state_dict()
    return weights


def _squashing_processor(kind: str) -> Any:
    import transformers as t

    cls = t.Sam3ImageProcessor if kind.startswith("sam3") else t.Sam2ImageProcessor
    return cls(size={"height": 64, "width": 64}, mask_size={"height": 16, "width": 16})

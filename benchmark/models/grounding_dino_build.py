"""The GroundingDINO networks: Swin-T, Swin-B, and a toy of the same classes."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from unittest import mock

from benchmark.core.errors import WeightsError
from benchmark.models.runtime import build, load
from benchmark.models.toy_tokenizer import bert_tokenizer, toy_tokenizer

if TYPE_CHECKING:
    import torch
    from torch import nn

DetectorName = Literal["swin_t", "swin_b", "toy"]
PUBLISHED: dict[str, str] = {"swin_t": "groundingdino_swint_ogc", "swin_b": "groundingdino_swinb_cogcoor"}
"""Registry name of each network's published weights; the toy has none."""
TOKENIZER = "bert_base_uncased"
"""Registry name of the tokenizer's files; the language model itself is part of the detector's weights."""
_CONFIGS = {"swin_t": "GroundingDINO_SwinT_OGC.py", "swin_b": "GroundingDINO_SwinB_cfg.py"}
_building = threading.Lock()


def load_grounding_dino(name: DetectorName, *, weights: Path | None, vocabulary: Path | None, device: str) -> nn.Module:
    """Build a GroundingDINO network and load its weights.

    Args:
        weights: checkpoint file; None: seeded random weights.
        vocabulary: ``vocab.txt`` of BERT uncased; None: a vocabulary of letters, which only goes with
            random weights.

    Returns:
        ``groundingdino.models.GroundingDINO`` in evaluation mode, its tokenizer with it.

    Raises:
        WeightsError: a file is damaged or belongs to another network.
    """
    if weights is not None and vocabulary is None:
        raise WeightsError("GroundingDINO with real weights needs BERT's vocabulary: give vocab.txt")
    with _building:
        network = build(lambda: _make(name, vocabulary, device), device=device, weights=weights)
    return load(network, weights, optional=_left_over, adapt=_unwrapped)


def _unwrapped(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Take off what saving a parallel network puts before every name."""
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _left_over(name: str) -> bool:
    # Kept in published files, used by training or derived from the configuration.
    return name in ("label_enc.weight", "bert.embeddings.position_ids")


def _make(name: DetectorName, vocabulary: Path | None, device: str) -> nn.Module:
    import groundingdino
    from groundingdino.models import build_model
    from groundingdino.models.GroundingDINO import groundingdino as parts
    from groundingdino.util import get_tokenlizer
    from groundingdino.util.slconfig import SLConfig
    from transformers import BertConfig, BertModel

    from benchmark.models.bert_encoder import BertEncoder

    folder = Path(os.path.dirname(groundingdino.__file__ or groundingdino.__path__[0])) / "config"  # noqa: PTH120
    settings: Any = SLConfig.fromfile(str(folder / _CONFIGS["swin_t" if name == "toy" else name]))
    settings.device = device
    settings.use_checkpoint = settings.use_transformer_ckpt = False  # they only save memory in training
    language = BertConfig(attn_implementation="eager")
    if name == "toy":
        settings.enc_layers = settings.dec_layers = 1
        settings.num_queries, settings.dim_feedforward = 30, 64
        language = BertConfig(
            vocab_size=128,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            attn_implementation="eager",
        )
    tokenizer = toy_tokenizer() if vocabulary is None else bert_tokenizer(vocabulary)
    # The library would fetch both from a hub by name; the checkpoint brings the language model's weights.
    with (
        mock.patch.object(get_tokenlizer, "get_tokenlizer", lambda _: tokenizer),
        mock.patch.object(get_tokenlizer, "get_pretrained_language_model", lambda _: BertModel(language)),
        mock.patch.object(parts, "BertModelWarper", BertEncoder),
    ):
        network: nn.Module = build_model(settings)
    return network

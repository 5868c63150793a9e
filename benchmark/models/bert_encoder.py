"""BERT as GroundingDINO calls it: the package's own wrapper needs methods that transformers 5 no longer has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import BertModel


class BertEncoder(nn.Module):
    """Takes the place of ``groundingdino:models/GroundingDINO/bertwarper.py``, ``BertModelWarper``.

    The parts keep their names, so that published files fit.

    Args:
        bert_model: with attention computed as ``eager``, which takes a mask of the wrapper's form.
    """

    def __init__(self, bert_model: BertModel) -> None:
        super().__init__()
        self.config = bert_model.config
        self.embeddings = bert_model.embeddings
        self.encoder = bert_model.encoder
        self.pooler = bert_model.pooler

    def forward(
        self,
        *,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor,
        position_ids: torch.Tensor,
    ) -> dict[str, Any]:
        """Encode tokens, all (B, L) int64.

        Args:
            attention_mask: (B, L, L), which token sees which, or (B, L), which are seen; bool or 0 and 1.

        Returns:
            ``last_hidden_state`` (B, L, C) float32.
        """
        embedded = self.embeddings(input_ids=input_ids, position_ids=position_ids, token_type_ids=token_type_ids)
        seen = attention_mask[:, None] if attention_mask.dim() == 3 else attention_mask[:, None, None]
        hidden = (1 - seen.to(embedded.dtype)) * torch.finfo(embedded.dtype).min
        return {"last_hidden_state": self.encoder(embedded, attention_mask=hidden)[0]}

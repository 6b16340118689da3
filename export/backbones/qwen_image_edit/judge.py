"""A checkpoint's own judge: Qwen2.5-VL as in the text encoder's graph, whose last token's state is the answer."""

from __future__ import annotations

import torch
from torch import nn

from eacps.models.backbones.qwen_image_edit.contract import JUDGE
from eacps.tensors import ModelSpec
from export.backbones.qwen_image_edit import text_encoder
from export.backbones.qwen_image_edit.text_encoder import TextEncoderGraph, TextEncoderNetwork


class JudgeGraph(TextEncoderGraph):
    """Tokens and pictures to the state of the last token; arguments in the contract's order."""

    def forward(
        self,
        pixel_values: torch.Tensor,
        vision_rope: torch.Tensor,
        vision_window: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        image_index: torch.Tensor,
    ) -> torch.Tensor:
        """Return the last token's hidden state after the final norm, shape (batch, channels)."""
        hidden = super().forward(
            pixel_values, vision_rope, vision_window, input_ids, attention_mask, position_ids, image_index
        )
        return last_states(hidden, attention_mask)


class JudgeNetwork(TextEncoderNetwork):
    """The exportable judge of a checkpoint; arguments as for the text encoder."""

    spec: ModelSpec = JUDGE
    code = (text_encoder.__name__,)

    def graph(self, *, fused: bool = False) -> nn.Module:  # noqa: ARG002  # one module for both
        """Return the module to export."""
        return JudgeGraph(self.model)

    def answer(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the original's state of each text's last token."""
        return last_states(hidden, mask)


def last_states(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Pick the state of the last token of each text, padded on the right: (batch, tokens, channels) to one each.

    Of a text without tokens it is the first state: served networks are tried out on zeros, and torch's programs refuse
    an index below 0.
    """
    last = (mask.sum(dim=1).reshape(-1, 1, 1) - 1).clamp(min=0)
    return hidden.gather(1, last.expand(-1, -1, hidden.shape[-1])).squeeze(1)

"""Qwen3 as FLUX.2 klein uses it: the hidden states of some of its layers, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers import Qwen3ForCausalLM

from eacps.models.backbones.flux2_klein.contract import TEXT_ENCODER
from eacps.tensors import ModelSpec
from export.networks.network import ParityCase, Tensors, TorchNetwork, case_of


@dataclass(frozen=True)
class TextShape:
    """What varies from text to text.

    Args:
        batch: Texts.
        tokens: Of each, padding included; item k is padded by 3k tokens.
        pad_left: Whether padding comes before the text.
    """

    batch: int
    tokens: int
    pad_left: bool = False


SHAPES = (TextShape(1, 40), TextShape(3, 24))


class TextEncoderGraph(nn.Module):
    """Tokens to hidden states; arguments in the contract's order. Layers above the last one asked for are left out.

    Args:
        model: Whose weights are used.
        layers: Numbers of the hidden states, counted from 1 for the first layer's.
    """

    def __init__(self, model: Qwen3ForCausalLM, layers: Sequence[int]) -> None:
        super().__init__()
        self.embed, self.rotary, self.wanted = model.model.embed_tokens, model.model.rotary_emb, tuple(layers)
        self.layers = nn.ModuleList(list(model.model.layers)[: max(layers)])

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the hidden states, (batch, tokens, layers * width), FP32."""
        hidden = self.embed(input_ids)
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        bias, turns = _causal_bias(attention_mask, hidden.dtype), self.rotary(hidden, positions)
        states = []
        for number, layer in enumerate(self.layers, start=1):
            hidden = layer(hidden, attention_mask=bias, position_embeddings=turns, use_cache=False)
            if number in self.wanted:
                states.append(hidden)
        return torch.cat(states, dim=-1).float()


def _causal_bias(attention_mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return what is added to attention scores, shape (batch, 1, tokens, tokens).

    Forbidden pairs get the smallest finite number: rows of padding may have no allowed key, and infinities would make
    them NaN.
    """
    positions = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    causal = positions[None, :] <= positions[:, None]
    allowed = causal[None, None] & (attention_mask[:, None, None, :] > 0)
    return torch.where(allowed, 0.0, torch.finfo(dtype).min).to(dtype)


class TextEncoderNetwork(TorchNetwork):
    """The exportable text encoder of a checkpoint.

    Args:
        model: In FP32, with language head, which is not exported.
        layers: See `TextEncoderGraph`.
        shapes: Of the parity cases.
    """

    spec: ModelSpec = TEXT_ENCODER

    def __init__(self, model: Qwen3ForCausalLM, layers: Sequence[int], shapes: Sequence[TextShape] = SHAPES) -> None:
        self.model, self.layers, self.shapes = model.eval(), tuple(layers), shapes

    def graph(self, *, fused: bool = False) -> nn.Module:  # noqa: ARG002  # one module for both
        """Return the module to export."""
        return TextEncoderGraph(self.model, self.layers)

    def example(self) -> Tensors:
        """Return inputs to trace with."""
        return self._case(TextShape(2, 9)).inputs

    def cases(self) -> Iterator[ParityCase]:
        """Compute the cases with transformers' own forward; items of a batch differ in padding."""
        for shape in self.shapes:
            yield self._case(shape)

    @torch.no_grad()
    def _case(self, shape: TextShape) -> ParityCase:
        generator = torch.Generator().manual_seed(shape.batch * 1000 + shape.tokens)
        ids = torch.randint(self.model.config.vocab_size, (shape.batch, shape.tokens), generator=generator)
        mask = torch.ones(shape.batch, shape.tokens, dtype=torch.int64)
        for item in range(shape.batch):
            padding = 3 * item
            mask[item, shape.tokens - padding :] = 0
        if shape.pad_left:
            mask = mask.flip(1)
        states = self.model(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False)
        original = torch.cat([states.hidden_states[layer] for layer in self.layers], dim=-1)
        inputs = {"input_ids": ids, "attention_mask": mask}
        return case_of(f"batch {shape.batch}, {shape.tokens} tokens", inputs, {"hidden_states": original})

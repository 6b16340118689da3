"""A block of the denoiser's graph: three streams of tokens that meet in attention.

    text       prompt embeddings
    result     noisy latents, whose velocity is computed
    pictures   latents of the conditioning pictures, one picture after the other

Text has layers of its own; result and pictures share the image layers. Every stream is normalized, modulated and
projected by itself; queries, keys and values are concatenated in this order. The original,
``QwenImageTransformerBlock``, has result and pictures in one stream and chooses the modulation token by token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from diffusers.models.normalization import RMSNorm
from diffusers.models.transformers.transformer_qwenimage import QwenImageTransformerBlock
from torch import nn

from export.networks.attention import Kernels


class Tokens(NamedTuple):
    """The three streams, (batch, tokens, width) each, in the order of the joint sequence."""

    text: torch.Tensor
    result: torch.Tensor
    pictures: torch.Tensor


class Modulation(NamedTuple):
    """What the timestep does to one half of a block: (batch, 1, width) each, or (1, 1, width) for all rows."""

    shift: torch.Tensor
    scale: torch.Tensor
    gate: torch.Tensor

    def applied(self, normalized: torch.Tensor) -> torch.Tensor:
        """Shift and scale normalized tokens."""
        return normalized * (1 + self.scale) + self.shift


class JointSequence(NamedTuple):
    """What attention needs to know of the tokens of all streams together.

    Attributes:
        rope: Rotary tables (batch, tokens, head width / 2, 2).
        bias: Added to the scores of every key (batch, 1, 1, tokens): 0, or -inf where a text token is padding.
        text: Tokens of the text.
        result: Tokens of the result.
    """

    rope: torch.Tensor
    bias: torch.Tensor
    text: int
    result: int

    def split(self, x: torch.Tensor) -> Tokens:
        """Cut (batch, tokens, width) into the streams."""
        end = self.text + self.result
        return Tokens(x[:, : self.text], x[:, self.text : end], x[:, end:])

    def result_rope(self) -> torch.Tensor:
        """Rotary tables of the result's tokens."""
        return self.rope[:, self.text : self.text + self.result]


class StreamLayers(nn.Module):
    """The layers of a block for text tokens or for image tokens.

    Args:
        modulate: Timestep embedding (batch, width) to the numbers of both modulations (batch, 6 * width).
        norms: Before attention and before the MLP; without weights.
        to_qkv: Projections to queries, keys and values.
        head_norms: Of every head's queries and keys.
        to_out: Projection after attention.
        mlp: Feed-forward network.
        heads: Number of attention heads.
    """

    def __init__(
        self,
        *,
        modulate: nn.Module,
        norms: tuple[nn.Module, nn.Module],
        to_qkv: tuple[nn.Module, nn.Module, nn.Module],
        head_norms: tuple[RMSNorm, RMSNorm],
        to_out: nn.Module,
        mlp: nn.Module,
        heads: int,
    ) -> None:
        super().__init__()
        self.modulate, self.heads = modulate, heads
        self.norm_attention, self.norm_mlp = norms
        self.to_query, self.to_key, self.to_value = to_qkv
        self.norm_query, self.norm_key = map(as_torch_norm, head_norms)
        self.to_out, self.mlp = to_out, mlp

    @classmethod
    def of_text(cls, block: QwenImageTransformerBlock) -> StreamLayers:
        """Take a block's layers for text tokens."""
        attn = block.attn
        return cls(
            modulate=block.txt_mod,
            norms=(block.txt_norm1, block.txt_norm2),
            to_qkv=(attn.add_q_proj, attn.add_k_proj, attn.add_v_proj),
            head_norms=(attn.norm_added_q, attn.norm_added_k),
            to_out=attn.to_add_out,
            mlp=block.txt_mlp,
            heads=attn.heads,
        )

    @classmethod
    def of_image(cls, block: QwenImageTransformerBlock) -> StreamLayers:
        """Take a block's layers for the tokens of result and pictures."""
        attn = block.attn
        return cls(
            modulate=block.img_mod,
            norms=(block.img_norm1, block.img_norm2),
            to_qkv=(attn.to_q, attn.to_k, attn.to_v),
            head_norms=(attn.norm_q, attn.norm_k),
            to_out=attn.to_out[0],
            mlp=block.img_mlp,
            heads=attn.heads,
        )

    def query(self, x: torch.Tensor) -> torch.Tensor:
        """Project (batch, tokens, width) to normalized queries (batch, heads, tokens, head width)."""
        queries: torch.Tensor = self.norm_query(self._by_head(self.to_query(x)))
        return queries

    def key(self, x: torch.Tensor) -> torch.Tensor:
        """Project to normalized keys, shaped as `query`."""
        keys: torch.Tensor = self.norm_key(self._by_head(self.to_key(x)))
        return keys

    def value(self, x: torch.Tensor) -> torch.Tensor:
        """Project to values, shaped as `query`."""
        return self._by_head(self.to_value(x))

    def _by_head(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


@dataclass(frozen=True)
class Stream:
    """One stream on its way through a block."""

    tokens: torch.Tensor
    layers: StreamLayers
    attention: Modulation
    mlp: Modulation

    def attention_input(self) -> torch.Tensor:
        """Return what queries, keys and values are made of (batch, tokens, width)."""
        return self.attention.applied(self.layers.norm_attention(self.tokens))

    def after(self, attended: torch.Tensor) -> torch.Tensor:
        """Return the tokens after the block, given what they attended to; (batch, tokens, width) both."""
        tokens = self.tokens + self.attention.gate * self.layers.to_out(attended)
        mlp_input = self.mlp.applied(self.layers.norm_mlp(tokens))
        after: torch.Tensor = tokens + self.mlp.gate * self.layers.mlp(mlp_input)
        return after


class JointBlock(nn.Module):
    """A block of the transformer: joint attention, then an MLP for every token.

    Args:
        block: The original, whose weights are used.
        picture_modulation: (1, 6 * width) of the pictures; None where they are modulated as the result is.
        kernels: For what runs it.
    """

    def __init__(
        self, block: QwenImageTransformerBlock, picture_modulation: nn.Parameter | None, kernels: Kernels
    ) -> None:
        super().__init__()
        self.text, self.image = StreamLayers.of_text(block), StreamLayers.of_image(block)
        self.picture_modulation, self.kernels = picture_modulation, kernels

    def streams(self, tokens: Tokens, conditioning: torch.Tensor) -> tuple[Stream, Stream, Stream]:
        """Put the streams together with their layers and modulations.

        Args:
            tokens: Before the block.
            conditioning: Timestep embedding (batch, width).
        """
        text = modulations(self.text.modulate(conditioning))
        result = modulations(self.image.modulate(conditioning))
        pictures = result if self.picture_modulation is None else modulations(self.picture_modulation)
        return (
            Stream(tokens.text, self.text, *text),
            Stream(tokens.result, self.image, *result),
            Stream(tokens.pictures, self.image, *pictures),
        )

    def attend(
        self, query: torch.Tensor, streams: Sequence[Stream], inputs: Sequence[torch.Tensor], joint: JointSequence
    ) -> torch.Tensor:
        """Attend from ``query`` (batch, heads, queries, head width) to all streams; return (batch, queries, width)."""
        both = list(zip(streams, inputs, strict=True))
        key = torch.cat([stream.layers.key(x) for stream, x in both], dim=2)
        value = torch.cat([stream.layers.value(x) for stream, x in both], dim=2)
        attended = self.kernels.attend(query, self.kernels.rotate(key, joint.rope), value, joint.bias)
        return attended.transpose(1, 2).flatten(2)


class Block(JointBlock):
    """A block after which all streams go on."""

    def forward(self, tokens: Tokens, conditioning: torch.Tensor, joint: JointSequence) -> Tokens:
        """Return the tokens of all streams after the block."""
        streams = self.streams(tokens, conditioning)
        inputs = [stream.attention_input() for stream in streams]
        query = torch.cat([stream.layers.query(x) for stream, x in zip(streams, inputs, strict=True)], dim=2)
        attended = self.attend(self.kernels.rotate(query, joint.rope), streams, inputs, joint)
        return Tokens(*(stream.after(part) for stream, part in zip(streams, joint.split(attended), strict=True)))


class LastBlock(JointBlock):
    """The last block. Text and pictures are only attended to: nothing comes after it that needs them."""

    def forward(self, tokens: Tokens, conditioning: torch.Tensor, joint: JointSequence) -> torch.Tensor:
        """Return the result's tokens after the block."""
        streams = self.streams(tokens, conditioning)
        inputs = [stream.attention_input() for stream in streams]
        _, result, _ = streams
        query = self.kernels.rotate(self.image.query(inputs[1]), joint.result_rope())
        return result.after(self.attend(query, streams, inputs, joint))


def modulations(numbers: torch.Tensor) -> tuple[Modulation, Modulation]:
    """Cut the numbers of a block's modulations (rows, 6 * width): attention's, then the MLP's."""
    shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = parts(numbers, 6)
    return Modulation(shift, scale, gate), Modulation(mlp_shift, mlp_scale, mlp_gate)


def parts(numbers: torch.Tensor, count: int) -> list[torch.Tensor]:
    """Cut (rows, count * width) into (rows, 1, width) each."""
    # torch's chunk would export as a sequence, which TensorRT lacks.
    width = numbers.shape[-1] // count
    return [numbers[:, None, number * width : (number + 1) * width] for number in range(count)]


def as_torch_norm(norm: RMSNorm) -> nn.RMSNorm:
    """Return diffusers' norm as torch's own class, which exports as one operator, over the same weight."""
    made = nn.RMSNorm(norm.weight.shape, eps=norm.eps, device="meta")
    made.weight = norm.weight
    return made

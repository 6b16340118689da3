"""The diffusion transformer of FLUX.2 klein, written for export.

``Flux2Transformer2DModel`` computes the same, but computes its rotary tables from positions in FP64, and a velocity for
the conditioning pictures, too, which nobody asks for. Here the tables are inputs, so one graph serves every batch,
resolution and number of pictures. The last block works on the result alone; everything else is only attended to.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from diffusers import Flux2Transformer2DModel
from diffusers.models.transformers.transformer_flux2 import Flux2SingleTransformerBlock, Flux2TransformerBlock
from torch import nn

from export.networks.attention import Kernels, OnnxKernels, TorchKernels


class Modulation(NamedTuple):
    """What the timestep does to one half of a block: (batch, 1, width) each."""

    shift: torch.Tensor
    scale: torch.Tensor
    gate: torch.Tensor

    def applied(self, normalized: torch.Tensor) -> torch.Tensor:
        """Shift and scale normalized tokens."""
        return normalized * (1 + self.scale) + self.shift


class DenoiserGraph(nn.Module):
    """One velocity evaluation; arguments in the contract's order. The transformer itself is not changed.

    Args:
        transformer: Whose weights are used.
        fused: For torch itself rather than for a graph of ONNX; see `export.networks.attention`.

    Raises:
        ValueError: The transformer has an input that the contract lacks, or no block of one stream.
    """

    def __init__(self, transformer: Flux2Transformer2DModel, *, fused: bool = False) -> None:
        super().__init__()
        if transformer.config.guidance_embeds:
            raise ValueError("a guidance embedding is not part of the contract")
        if not transformer.single_transformer_blocks:
            raise ValueError("a transformer without blocks of one stream is not supported")
        kernels: Kernels = TorchKernels() if fused else OnnxKernels()
        self.image_in, self.text_in = transformer.x_embedder, transformer.context_embedder
        time = transformer.time_guidance_embed
        self.time_proj, self.embed_timestep = time.time_proj, time.timestep_embedder
        self.modulate_image = transformer.double_stream_modulation_img
        self.modulate_text = transformer.double_stream_modulation_txt
        self.modulate_joint = transformer.single_stream_modulation
        self.blocks = nn.ModuleList(DoubleBlock(block, kernels) for block in transformer.transformer_blocks)
        self.joint_blocks = nn.ModuleList(JointBlock(block, kernels) for block in transformer.single_transformer_blocks)
        final = transformer.norm_out
        self.final_norm, self.final_modulate = final.norm, nn.Sequential(final.silu, final.linear)
        self.final_projection = transformer.proj_out

    def forward(
        self,
        latents: torch.Tensor,
        picture_latents: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        timestep: torch.Tensor,
        img_rope: torch.Tensor,
        txt_rope: torch.Tensor,
    ) -> torch.Tensor:
        """Return the velocity of ``latents``, FP32 and of their shape; see ``DENOISER`` in the contract."""
        dtype = self.image_in.weight.dtype
        text = self.text_in(encoder_hidden_states.to(dtype))
        image = self.image_in(torch.cat([latents, picture_latents], dim=1).to(dtype))
        # The original rounds the timestep before it makes sines of it; in FP32 there is nothing to round.
        conditioning = self.embed_timestep(self.time_proj(timestep[:, 0] * 1000).to(dtype))
        rope = torch.cat([txt_rope, img_rope], dim=1)
        image_modulation = modulations(self.modulate_image(conditioning), 2)
        text_modulation = modulations(self.modulate_text(conditioning), 2)
        (modulation,) = modulations(self.modulate_joint(conditioning), 1)
        for block in self.blocks:
            text, image = block(text, image, text_modulation, image_modulation, rope)
        first = text.shape[1]
        tokens, end = torch.cat([text, image], dim=1), first + latents.shape[1]
        *joint_blocks, last = self.joint_blocks
        for block in joint_blocks:
            tokens = block(tokens, tokens, modulation, rope, rope)
        result = last(tokens[:, first:end], tokens, modulation, rope[:, first:end], rope)
        scale, shift = parts(self.final_modulate(conditioning), 2)
        velocity: torch.Tensor = self.final_projection(self.final_norm(result) * (1 + scale) + shift)
        return velocity.float()


class DoubleBlock(nn.Module):
    """A block in which text and image have layers of their own and meet in attention."""

    def __init__(self, block: Flux2TransformerBlock, kernels: Kernels) -> None:
        super().__init__()
        attn = block.attn
        self.kernels, self.heads = kernels, attn.heads
        self.norms = nn.ModuleList([block.norm1_context, block.norm1, block.norm2_context, block.norm2])
        self.text_qkv = nn.ModuleList([attn.add_q_proj, attn.add_k_proj, attn.add_v_proj])
        self.image_qkv = nn.ModuleList([attn.to_q, attn.to_k, attn.to_v])
        self.text_norms = nn.ModuleList([attn.norm_added_q, attn.norm_added_k])
        self.image_norms = nn.ModuleList([attn.norm_q, attn.norm_k])
        self.text_out, self.image_out = attn.to_add_out, attn.to_out[0]
        self.text_mlp, self.image_mlp = block.ff_context, block.ff

    def forward(
        self,
        text: torch.Tensor,
        image: torch.Tensor,
        text_modulation: list[Modulation],
        image_modulation: list[Modulation],
        rope: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both streams after the block, (batch, tokens, width) each."""
        norm_text, norm_image, norm_text_mlp, norm_image_mlp = self.norms
        of_text = self._qkv(text_modulation[0].applied(norm_text(text)), self.text_qkv, self.text_norms)
        of_image = self._qkv(image_modulation[0].applied(norm_image(image)), self.image_qkv, self.image_norms)
        query, key, value = (torch.cat(pair, dim=2) for pair in zip(of_text, of_image, strict=True))
        rotate = self.kernels.rotate
        attended = self.kernels.attend(rotate(query, rope), rotate(key, rope), value, None).transpose(1, 2).flatten(2)
        words = text.shape[1]
        text = text + text_modulation[0].gate * self.text_out(attended[:, :words])
        image = image + image_modulation[0].gate * self.image_out(attended[:, words:])
        text = text + text_modulation[1].gate * self.text_mlp(text_modulation[1].applied(norm_text_mlp(text)))
        image = image + image_modulation[1].gate * self.image_mlp(image_modulation[1].applied(norm_image_mlp(image)))
        return text, image

    def _qkv(self, x: torch.Tensor, layers: nn.ModuleList, norms: nn.ModuleList) -> tuple[torch.Tensor, ...]:
        to_query, to_key, to_value = layers
        norm_query, norm_key = norms
        query, key, value = (by_head(layer(x), self.heads) for layer in (to_query, to_key, to_value))
        return norm_query(query), norm_key(key), value


class JointBlock(nn.Module):
    """A block of one stream, whose attention and MLP are computed side by side."""

    def __init__(self, block: Flux2SingleTransformerBlock, kernels: Kernels) -> None:
        super().__init__()
        attn = block.attn
        self.kernels, self.heads, self.width = kernels, attn.heads, attn.inner_dim
        self.norm, self.norm_query, self.norm_key = block.norm, attn.norm_q, attn.norm_k
        self.activation, self.to_out = attn.mlp_act_fn, attn.to_out
        weight, bias = attn.to_qkv_mlp_proj.weight, attn.to_qkv_mlp_proj.bias
        if bias is not None:
            raise ValueError("a bias in the blocks of one stream is not supported")
        self.query = linear(weight[: self.width])
        self.key_value = linear(weight[self.width : 3 * self.width])
        self.mlp_in = linear(weight[3 * self.width :])

    def forward(
        self,
        tokens: torch.Tensor,
        context: torch.Tensor,
        modulation: Modulation,
        rope: torch.Tensor,
        context_rope: torch.Tensor,
    ) -> torch.Tensor:
        """Return ``tokens`` after the block, which attend to all of ``context``; (batch, tokens, width) both."""
        seen = modulation.applied(self.norm(context))
        own = seen if tokens is context else modulation.applied(self.norm(tokens))
        both = self.key_value(seen)
        key, value = by_head(both[..., : self.width], self.heads), by_head(both[..., self.width :], self.heads)
        query = self.norm_query(by_head(self.query(own), self.heads))
        rotate = self.kernels.rotate
        attended = self.kernels.attend(rotate(query, rope), rotate(self.norm_key(key), context_rope), value, None)
        joined = torch.cat([attended.transpose(1, 2).flatten(2), self.activation(self.mlp_in(own))], dim=-1)
        after: torch.Tensor = tokens + modulation.gate * self.to_out(joined)
        return after


def linear(weight: torch.Tensor) -> nn.Linear:
    """Return a layer over part of another one's weight, which is shared."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight = nn.Parameter(weight.detach(), requires_grad=False)
    return layer


def by_head(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Cut (batch, tokens, width) into (batch, heads, tokens, head width)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def modulations(numbers: torch.Tensor, sets: int) -> list[Modulation]:
    """Cut (batch, 3 * sets * width) into the modulations of ``sets`` halves of a block."""
    cut = parts(numbers, 3 * sets)
    return [Modulation(*cut[3 * one : 3 * one + 3]) for one in range(sets)]


def parts(numbers: torch.Tensor, count: int) -> list[torch.Tensor]:
    """Cut (batch, count * width) into (batch, 1, width) each."""
    # torch's chunk would export as a sequence, which TensorRT lacks.
    width = numbers.shape[-1] // count
    return [numbers[:, None, number * width : (number + 1) * width] for number in range(count)]

"""The diffusion transformer with real rotary tables as inputs.

``QwenImageTransformer2DModel`` rotates with complex numbers, which ONNX lacks, and derives tables and modulation
index from a Python list of picture shapes, which would freeze them into the graph. Here both are inputs, so one
graph serves every batch, text length, resolution and number of pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from diffusers import QwenImageTransformer2DModel
from diffusers.models.attention_processor import Attention
from torch import nn

from eacps.tensors import DENOISER, ModelSpec
from export.networks.network import ParityCase, Tensors, TorchNetwork, case_of, copy_sharing_weights


@dataclass(frozen=True)
class DenoiserShape:
    """What varies from evaluation to evaluation.

    Args:
        batch: Candidates.
        text_tokens: Length of the padded text.
        grids: Packed height and width of the noisy latents, then of each conditioning picture.
        padding: Item k has ``k * padding`` masked text tokens.
    """

    batch: int
    text_tokens: int
    grids: tuple[tuple[int, int], ...]
    padding: int = 0

    def __str__(self) -> str:
        sizes = " ".join(f"{rows}x{columns}" for rows, columns in self.grids)
        return f"batch {self.batch}, {self.text_tokens} text tokens, grids {sizes}, padding {self.padding}"


# Batch, text length, resolution and number of pictures, with and without padded text.
SHAPES = (
    DenoiserShape(1, 17, ((8, 8), (8, 8), (8, 8))),
    DenoiserShape(3, 40, ((6, 4), (8, 8)), padding=7),
    DenoiserShape(2, 33, ((8, 8), (8, 8), (4, 6), (2, 2)), padding=2),
)


class DenoiserGraph(nn.Module):
    """One velocity evaluation; arguments in the contract's order. The transformer itself is not changed.

    Args:
        transformer: Whose weights are used.
        fused: Whether attention is torch's own kernel; see `RealRotaryAttention`.
    """

    def __init__(self, transformer: QwenImageTransformer2DModel, *, fused: bool = False) -> None:
        super().__init__()
        config = transformer.config
        if config.use_additional_t_cond or config.guidance_embeds:
            raise ValueError("guidance embeddings and additional time conditions are not part of the contract")
        self.transformer = copy_sharing_weights(transformer)
        self.zero_cond_t = bool(config.zero_cond_t)
        for block in self.transformer.transformer_blocks:
            block.attn.set_processor(RealRotaryAttention(fused=fused))

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        encoder_hidden_states_mask: torch.Tensor,
        timestep: torch.Tensor,
        img_rope: torch.Tensor,
        txt_rope: torch.Tensor,
        modulate_index: torch.Tensor,
    ) -> torch.Tensor:
        """Return the velocity of all image tokens, shape (batch, image tokens, channels)."""
        model = self.transformer
        dtype = model.img_in.weight.dtype
        image = model.img_in(hidden_states.to(dtype))
        text = model.txt_in(model.txt_norm(encoder_hidden_states.to(dtype)))
        time = timestep[:, 0].to(image.dtype)
        index: torch.Tensor | None = modulate_index
        if self.zero_cond_t:
            time = torch.cat([time, time * 0], dim=0)
        else:
            # The graph keeps the input, so that the contract is one for all checkpoints; adding zero keeps it alive.
            image = image + (modulate_index * 0).unsqueeze(-1).to(image.dtype)
            index = None
        conditioning = model.time_text_embed(time, image)
        # Text tokens come first in the joint sequence; all image tokens may be attended to.
        keys = torch.cat([encoder_hidden_states_mask, torch.ones_like(hidden_states[..., 0], dtype=torch.bool)], dim=1)
        bias = torch.zeros_like(keys, dtype=image.dtype).masked_fill(~keys, float("-inf"))
        rope = torch.cat([txt_rope, img_rope], dim=1)
        for block in model.transformer_blocks:
            text, image = block(
                hidden_states=image,
                encoder_hidden_states=text,
                encoder_hidden_states_mask=bias[:, None, None, :],
                temb=conditioning,
                image_rotary_emb=rope,
                modulate_index=index,
            )
        if self.zero_cond_t:
            conditioning = conditioning.chunk(2, dim=0)[0]
        velocity: torch.Tensor = model.proj_out(model.norm_out(image, conditioning))
        return velocity.float()


class RealRotaryAttention:
    """Joint attention of text and image tokens, rotated by tables of (cos, sin) per pair of channels.

    In graphs it is written out, because ``scaled_dot_product_attention`` exports a guard against rows in which every
    key is masked: a tenth of the whole network's time on a CPU. Image tokens are never masked, so there is no such row.
    TensorRT fuses product, softmax and product again.

    Args:
        fused: Call torch's kernel, which never holds all scores at once: 12,000 tokens have gigabytes of them.
    """

    def __init__(self, *, fused: bool = False) -> None:
        self.fused = fused

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        encoder_hidden_states_mask: torch.Tensor,
        image_rotary_emb: torch.Tensor,
        **_unused: None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attend.

        Args:
            attn: The block's attention module, whose weights are used.
            hidden_states: Image tokens (batch, S, width).
            encoder_hidden_states: Text tokens (batch, L, width).
            encoder_hidden_states_mask: Added to the scores, (batch, 1, 1, L + S): 0, or -inf where a key is masked.
            image_rotary_emb: Tables for text, then image tokens, (batch, L + S, head width / 2, 2).
            _unused: ``Attention`` passes an ``attention_mask`` of None.

        Returns:
            Image and text tokens after the output projections.
        """
        image_qkv = (attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states))
        text_qkv = (
            attn.add_q_proj(encoder_hidden_states),
            attn.add_k_proj(encoder_hidden_states),
            attn.add_v_proj(encoder_hidden_states),
        )
        head_width = attn.inner_dim // attn.heads
        image_q, image_k, image_v = (x.unflatten(-1, (-1, head_width)) for x in image_qkv)
        text_q, text_k, text_v = (x.unflatten(-1, (-1, head_width)) for x in text_qkv)
        query = torch.cat([attn.norm_added_q(text_q), attn.norm_q(image_q)], dim=1)
        key = torch.cat([attn.norm_added_k(text_k), attn.norm_k(image_k)], dim=1)
        value = torch.cat([text_v, image_v], dim=1)
        query, key = (rotate(x, image_rotary_emb).transpose(1, 2) for x in (query, key))
        value = value.transpose(1, 2)
        if self.fused:
            attended = F.scaled_dot_product_attention(query, key, value, attn_mask=encoder_hidden_states_mask)
        else:
            scores = query * head_width**-0.5 @ key.transpose(2, 3) + encoder_hidden_states_mask
            attended = torch.softmax(scores, dim=-1) @ value
        attended = attended.transpose(1, 2).flatten(2, 3)
        text_tokens = encoder_hidden_states.shape[1]
        return attn.to_out[0](attended[:, text_tokens:]), attn.to_add_out(attended[:, :text_tokens])


def rotate(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Rotate pairs of channels of ``x`` (batch, tokens, heads, width) by ``table`` (batch, tokens, width / 2, 2)."""
    cos, sin = table[:, :, None, :, 0], table[:, :, None, :, 1]
    real, imaginary = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    rotated = torch.stack([real * cos - imaginary * sin, real * sin + imaginary * cos], dim=-1)
    return rotated.flatten(-2).type_as(x)


class DenoiserNetwork(TorchNetwork):
    """The exportable denoiser of a checkpoint.

    Args:
        transformer: In FP32.
        shapes: Of the parity cases.
    """

    spec: ModelSpec = DENOISER

    def __init__(self, transformer: QwenImageTransformer2DModel, shapes: Sequence[DenoiserShape] = SHAPES) -> None:
        self.transformer, self.shapes = transformer.eval(), shapes

    def graph(self, *, fused: bool = False) -> nn.Module:
        """The module to export."""
        return DenoiserGraph(self.transformer, fused=fused)

    def example(self) -> Tensors:
        """Inputs to trace with."""
        return self._case(DenoiserShape(2, 11, ((4, 4), (4, 4)), padding=1)).inputs

    def cases(self) -> Iterator[ParityCase]:
        """Compute the cases with diffusers' own forward."""
        for shape in self.shapes:
            yield self._case(shape)

    @torch.no_grad()
    def _case(self, shape: DenoiserShape) -> ParityCase:
        batch, text_tokens = shape.batch, shape.text_tokens
        shapes = [(1, *grid) for grid in shape.grids]
        mask = torch.ones(batch, text_tokens, dtype=torch.bool)
        for item in range(batch):
            mask[item, text_tokens - item * shape.padding :] = False
        tables = self.transformer.pos_embed([shapes], max_txt_seq_len=text_tokens)
        img_rope, txt_rope = (torch.view_as_real(table).expand(batch, -1, -1, -1) for table in tables)
        image_tokens, noisy_tokens = sum(map(prod, shape.grids)), prod(shape.grids[0])
        inputs = self._random_inputs(batch, image_tokens, text_tokens) | {
            "encoder_hidden_states_mask": mask,
            "img_rope": img_rope,
            "txt_rope": txt_rope,
            "modulate_index": (torch.arange(image_tokens) >= noisy_tokens).long().expand(batch, -1),
        }
        velocity = self.transformer(
            hidden_states=inputs["hidden_states"],
            encoder_hidden_states=inputs["encoder_hidden_states"],
            # The pipeline leaves the mask out where all tokens count.
            encoder_hidden_states_mask=None if mask.all() else mask,
            timestep=inputs["timestep"][:, 0],
            img_shapes=[shapes] * batch,
            return_dict=False,
        )[0]
        return case_of(str(shape), inputs, {"velocity": velocity})

    def _random_inputs(self, batch: int, image_tokens: int, text_tokens: int) -> dict[str, torch.Tensor]:
        config = self.transformer.config
        generator = torch.Generator().manual_seed(batch * 1000 + text_tokens)
        return {
            "hidden_states": torch.randn(batch, image_tokens, config.in_channels, generator=generator),
            "encoder_hidden_states": torch.randn(batch, text_tokens, config.joint_attention_dim, generator=generator),
            "timestep": torch.rand(batch, 1, generator=generator),
        }

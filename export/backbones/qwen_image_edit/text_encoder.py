"""Qwen2.5-VL up to its last hidden state, vision tower and language model in one graph.

The original computes window order, positions and attention blocks of the vision tower from a tensor of picture
shapes, in Python loops that cannot be exported. Here rotary tables and windows are inputs, so one graph serves pictures
of every size, and a mask separates the windows instead of a split.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen

from eacps.models.backbones.qwen_image_edit.config import VisionConfig
from eacps.models.backbones.qwen_image_edit.contract import TEXT_ENCODER
from eacps.models.backbones.qwen_image_edit.vision_tables import vision_rope, vision_windows
from eacps.tensors import ModelSpec
from export.networks.network import ParityCase, Tensors, TorchNetwork, case_of


@dataclass(frozen=True)
class TextShape:
    """What varies from text to text.

    Args:
        batch: Texts.
        pictures: Of each.
        words: Tokens of each text that belong to no picture.
        grid: Rows and columns of each picture in patches.
    """

    batch: int
    pictures: int
    words: int
    grid: tuple[int, int]


def shapes_for(grid: tuple[int, int]) -> tuple[TextShape, ...]:
    """Vary batch, text length and number of pictures."""
    return TextShape(1, 1, 9, grid), TextShape(3, 2, 30, grid), TextShape(2, 3, 17, grid)


class VisionTower(nn.Module):
    """Pictures to embeddings: (pictures, patches, values) to (pictures, merged tokens, channels)."""

    def __init__(self, visual: qwen.Qwen2_5_VisionTransformerPretrainedModel) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, pixel_values: torch.Tensor, rope: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
        """Embed pictures; rope is (pictures, patches, pairs, 2), window (pictures, patches)."""
        # A convolution whose kernel is the whole patch is a product with its weights.
        weight = self.visual.patch_embed.proj.weight.flatten(1)
        hidden = F.linear(pixel_values.to(weight.dtype), weight)
        # The rotation pairs channel k with channel k + half: one table for both halves.
        cos, sin = torch.cat([rope, rope], dim=2).unbind(-1)
        # In the working precision, since a mask is added to scores; patches always see themselves.
        apart = window[:, None, :, None] != window[:, None, None, :]
        bias = torch.zeros_like(apart, dtype=hidden.dtype).masked_fill(apart, torch.finfo(hidden.dtype).min)
        blocks = cast("Iterable[qwen.Qwen2_5_VLVisionBlock]", self.visual.blocks)
        for number, block in enumerate(blocks):
            mask = None if number in self.visual.fullatt_block_indexes else bias
            hidden = hidden + self._attend(block.attn, block.norm1(hidden), cos, sin, mask)
            hidden = hidden + block.mlp(block.norm2(hidden))
        merger = self.visual.merger
        merged = merger.ln_q(hidden).reshape(hidden.shape[0], -1, merger.hidden_size)
        embedded: torch.Tensor = merger.mlp(merged)
        return embedded

    def _attend(
        self,
        attn: qwen.Qwen2_5_VLVisionAttention,
        x: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        query, key, value = attn.qkv(x).unflatten(-1, (3, attn.num_heads, -1)).unbind(2)
        query, key = qwen.apply_rotary_pos_emb_vision(query, key, cos, sin)
        attended = F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_mask=mask, scale=attn.scaling
        )
        projected: torch.Tensor = attn.proj(attended.transpose(1, 2).flatten(2))
        return projected


class TextEncoderGraph(nn.Module):
    """Tokens and pictures to hidden states; arguments in the contract's order."""

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration) -> None:
        super().__init__()
        self.vision = VisionTower(model.model.visual)
        self.language = model.model.language_model

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
        """Return hidden states after the final norm, shape (batch, tokens, channels)."""
        batch, shown = pixel_values.shape[:2]
        words = self.language.embed_tokens(input_ids)
        rope = vision_rope.unsqueeze(1).expand(-1, shown, -1, -1, -1).flatten(0, 1)
        windows = vision_window.unsqueeze(1).expand(-1, shown, -1).flatten(0, 1)
        pictures = self.vision(pixel_values.flatten(0, 1), rope, windows)
        pictures = pictures.reshape(batch, -1, words.shape[-1])
        # Row 0 is no picture, so that index k means the k-th picture token.
        rows = torch.cat([torch.zeros_like(words[:, :1]), pictures], dim=1)
        index = image_index.unsqueeze(-1)
        embedded = torch.where(index > 0, rows.gather(1, index.expand(-1, -1, words.shape[-1])), words)
        hidden: torch.Tensor = self.language(
            inputs_embeds=embedded,
            attention_mask={"full_attention": _causal_bias(attention_mask, embedded.dtype)},
            position_ids=position_ids.transpose(0, 1),
            use_cache=False,
        ).last_hidden_state
        return hidden.float()


def _causal_bias(attention_mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return what is added to attention scores, shape (batch, 1, tokens, tokens).

    Forbidden pairs get the smallest finite number: rows of padding have no allowed key, and infinities would make
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
        vision: How pictures are cut into patches.
        shapes: Of the parity cases.
    """

    spec: ModelSpec = TEXT_ENCODER

    def __init__(
        self, model: Qwen2_5_VLForConditionalGeneration, vision: VisionConfig, shapes: Sequence[TextShape]
    ) -> None:
        self.model, self.vision, self.shapes = model.eval(), vision, shapes

    def graph(self, *, fused: bool = False) -> nn.Module:  # noqa: ARG002  # one module for both
        """Return the module to export."""
        return TextEncoderGraph(self.model)

    def example(self) -> Tensors:
        """Return inputs to trace with."""
        return self._case(TextShape(2, 2, 5, self.shapes[0].grid)).inputs

    def cases(self) -> Iterator[ParityCase]:
        """Compute the cases with transformers' own forward; items of a batch differ in padding."""
        for shape in self.shapes:
            yield self._case(shape)

    def answer(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # noqa: ARG002  # others need it
        """Return what the graph answers, by the original's hidden states and the attention mask."""
        return hidden

    @torch.no_grad()
    def _case(self, shape: TextShape) -> ParityCase:
        """Compute one case; item k is padded by 2k tokens, on the right."""
        generator = torch.Generator().manual_seed(shape.batch * 1000 + shape.words)
        ids, mask = self._tokens(shape, generator)
        pixels = self._pixels(shape, generator)
        kinds = (ids == self.model.config.image_token_id).to(torch.int32)
        grids = torch.tensor([[1, *shape.grid]] * (shape.batch * shape.pictures))
        positions, _ = self.model.model.get_rope_index(
            ids, mm_token_type_ids=kinds, image_grid_thw=grids, attention_mask=mask
        )
        original = self.model.model(
            input_ids=ids,
            attention_mask=mask,
            pixel_values=pixels.flatten(0, 2),
            image_grid_thw=grids,
            mm_token_type_ids=kinds,
        ).last_hidden_state
        inputs = {
            "pixel_values": pixels,
            "vision_rope": vision_rope(*shape.grid, self.vision).expand(shape.batch, -1, -1, -1),
            "vision_window": vision_windows(*shape.grid, self.vision).expand(shape.batch, -1),
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": positions.transpose(0, 1),
            "image_index": kinds.to(torch.long) * kinds.cumsum(1),
        }
        sizes = f"{shape.pictures} pictures of {shape.grid[0]}x{shape.grid[1]} patches"
        expected = {self.spec.outputs[0].name: self.answer(original, mask)}
        return case_of(f"batch {shape.batch}, {ids.shape[1]} tokens, {sizes}", inputs, expected)

    def _pixels(self, shape: TextShape, generator: torch.Generator) -> torch.Tensor:
        """Draw patched pictures (batch, pictures, patches, values)."""
        vision = self.model.config.vision_config
        values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        patches = shape.grid[0] * shape.grid[1]
        return torch.randn(shape.batch, shape.pictures, patches, values, generator=generator)

    def _tokens(self, shape: TextShape, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw token ids (batch, tokens) around the pictures' tokens, and their attention mask."""
        config = self.model.config
        special = [config.image_token_id, config.video_token_id, config.vision_start_token_id]
        ordinary = torch.tensor(sorted(set(range(config.text_config.vocab_size)) - set(special)))
        merged = shape.grid[0] * shape.grid[1] // config.vision_config.spatial_merge_size**2
        picture = [config.vision_start_token_id, *[config.image_token_id] * merged, config.vision_end_token_id]
        rows, masks = [], []
        for item in range(shape.batch):
            text = ordinary[torch.randint(len(ordinary), (shape.words,), generator=generator)].tolist()
            row = text[:3] + picture * shape.pictures + text[3:]
            padding = 2 * item
            rows.append(row[: len(row) - padding] + [config.text_config.pad_token_id or 0] * padding)
            masks.append([1] * (len(row) - padding) + [0] * padding)
        return torch.tensor(rows), torch.tensor(masks)

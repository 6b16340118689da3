"""Qwen2.5-VL up to its last hidden state, vision tower and language model in one graph.

The original derives window order, positions and attention blocks of the vision tower from a tensor of picture
shapes, with Python loops that no graph can hold. For one fixed grid they are constants. Pictures then share a batch
axis, and windows are a mask instead of a split.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index

from eacps.tensors import TEXT_ENCODER, ModelSpec
from export.networks.network import ParityCase, case_of, write_torch_module


@dataclass(frozen=True)
class VisionGrid:
    """Height and width of a condition picture in patches."""

    height: int
    width: int

    def thw(self, pictures: int) -> torch.Tensor:
        """Return ``image_grid_thw`` for so many pictures, shape (pictures, 3)."""
        return torch.tensor([[1, self.height, self.width]] * pictures)

    def merged_tokens(self, merge: int) -> int:
        """Count the tokens one picture becomes."""
        return self.height * self.width // merge**2


class VisionTower(nn.Module):
    """Pictures of one grid to embeddings: (pictures, patches, values) to (pictures, merged tokens, channels)."""

    order: torch.Tensor
    inverse: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor
    window_mask: torch.Tensor

    def __init__(self, visual: qwen.Qwen2_5_VisionTransformerPretrainedModel, grid: VisionGrid) -> None:
        super().__init__()
        self.visual = visual
        thw = grid.thw(1)
        merge = visual.spatial_merge_size
        windows, ends = get_vision_window_index(
            thw, spatial_merge_size=merge, window_size=visual.window_size, patch_size=visual.patch_size
        )
        order = (windows[:, None] * merge**2 + torch.arange(merge**2)).flatten()
        cos, sin = visual.rotary_pos_emb(torch.zeros(()), get_vision_position_ids(thw, merge))
        # Two patches may attend to one another if they lie in the same window; ends holds the windows' boundaries.
        window_of = torch.bucketize(torch.arange(order.numel()), ends[1:].to(torch.long), right=True)
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("inverse", torch.argsort(windows), persistent=False)
        self.register_buffer("cos", cos[order], persistent=False)
        self.register_buffer("sin", sin[order], persistent=False)
        self.register_buffer("window_mask", window_of[:, None] == window_of[None, :], persistent=False)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Embed pictures."""
        pictures = pixel_values.shape[0]
        # A convolution whose kernel is the whole patch is a product with its weights.
        hidden = F.linear(pixel_values, self.visual.patch_embed.proj.weight.flatten(1))[:, self.order]
        for number, block in enumerate(self.visual.blocks):
            mask = None if number in self.visual.fullatt_block_indexes else self.window_mask
            hidden = hidden + self._attend(block.attn, block.norm1(hidden), mask)
            hidden = hidden + block.mlp(block.norm2(hidden))
        merger = self.visual.merger
        merged = merger.ln_q(hidden).reshape(pictures, -1, merger.hidden_size)
        embedded: torch.Tensor = merger.mlp(merged)[:, self.inverse]
        return embedded

    def _attend(self, attn: qwen.Qwen2_5_VLVisionAttention, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        query, key, value = attn.qkv(x).unflatten(-1, (3, attn.num_heads, -1)).unbind(2)
        query, key = qwen.apply_rotary_pos_emb_vision(query, key, self.cos, self.sin)
        attended = F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_mask=mask, scale=attn.scaling
        )
        projected: torch.Tensor = attn.proj(attended.transpose(1, 2).flatten(2))
        return projected


class TextEncoderGraph(nn.Module):
    """Tokens and pictures to hidden states; arguments in the contract's order."""

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration, grid: VisionGrid) -> None:
        super().__init__()
        self.vision = VisionTower(model.model.visual, grid)
        self.language = model.model.language_model

    def forward(
        self,
        pixel_values: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        image_index: torch.Tensor,
    ) -> torch.Tensor:
        """Return hidden states after the final norm, shape (batch, tokens, channels)."""
        batch = pixel_values.shape[0]
        words = self.language.embed_tokens(input_ids)
        pictures = self.vision(pixel_values.flatten(0, 1))
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
        return hidden


def _causal_bias(attention_mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return what is added to attention scores, shape (batch, 1, tokens, tokens).

    Forbidden pairs get the smallest finite number: rows of padding have no allowed key, and infinities would make
    them NaN.
    """
    positions = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    causal = positions[None, :] <= positions[:, None]
    allowed = causal[None, None] & (attention_mask[:, None, None, :] > 0)
    return torch.where(allowed, 0.0, torch.finfo(dtype).min).to(dtype)


class TextEncoderNetwork:
    """The exportable text encoder of a checkpoint.

    Args:
        model: With language head, which is not exported.
        grid: The one grid of condition pictures the graph is made for.
    """

    spec: ModelSpec = TEXT_ENCODER

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration, grid: VisionGrid) -> None:
        self.model, self.grid = model.eval(), grid

    def write_onnx(self, path: Path) -> None:
        """Write the graph."""
        example = self._case(batch=2, pictures=2, words=5)
        write_torch_module(TextEncoderGraph(self.model, self.grid), self.spec, example.inputs, path)

    def cases(self) -> Iterator[ParityCase]:
        """Vary batch, text length and number of pictures; items of a batch differ in padding."""
        yield self._case(batch=1, pictures=1, words=9)
        yield self._case(batch=3, pictures=2, words=30)
        yield self._case(batch=2, pictures=3, words=17)

    @torch.no_grad()
    def _case(self, *, batch: int, pictures: int, words: int) -> ParityCase:
        """Compute one case with transformers' own forward; item k is padded by 2k tokens, on the right."""
        generator = torch.Generator().manual_seed(batch * 1000 + words)
        ids, mask = self._tokens(batch, pictures, words, generator)
        pixels = self._pixels(batch, pictures, generator)
        kinds = (ids == self.model.config.image_token_id).to(torch.int32)
        grids = self.grid.thw(batch * pictures)
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
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": positions.transpose(0, 1),
            "image_index": kinds.to(torch.long) * kinds.cumsum(1),
        }
        description = f"batch {batch}, {ids.shape[1]} tokens, {pictures} pictures"
        return case_of(description, inputs, {"hidden_states": original})

    def _pixels(self, batch: int, pictures: int, generator: torch.Generator) -> torch.Tensor:
        """Draw patched pictures (batch, pictures, patches, values)."""
        vision = self.model.config.vision_config
        values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        return torch.randn(batch, pictures, self.grid.height * self.grid.width, values, generator=generator)

    def _tokens(
        self, batch: int, pictures: int, words: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw token ids (batch, tokens) around the pictures' tokens, and their attention mask."""
        config = self.model.config
        special = [config.image_token_id, config.video_token_id, config.vision_start_token_id]
        ordinary = torch.tensor(sorted(set(range(config.text_config.vocab_size)) - set(special)))
        merged = self.grid.merged_tokens(config.vision_config.spatial_merge_size)
        picture = [config.vision_start_token_id, *[config.image_token_id] * merged, config.vision_end_token_id]
        rows, masks = [], []
        for item in range(batch):
            text = ordinary[torch.randint(len(ordinary), (words,), generator=generator)].tolist()
            row = text[:3] + picture * pictures + text[3:]
            padding = 2 * item
            rows.append(row[: len(row) - padding] + [config.text_config.pad_token_id or 0] * padding)
            masks.append([1] * (len(row) - padding) + [0] * padding)
        return torch.tensor(rows), torch.tensor(masks)

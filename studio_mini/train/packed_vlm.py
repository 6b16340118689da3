"""Qwen2.5-VL's forward pass for training: many questions about one picture share its tokens.

The modules and weights are those of ``Qwen2_5_VLForConditionalGeneration``; only the bookkeeping differs. All pictures
have one size, so window attention is a reshape rather than a split by lengths; and the questions of a picture lie one
behind the other in *slots*, each attending the picture and itself but not its neighbors, at the positions it would
have alone. A test holds that the result is the original's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLVisionAttention, apply_rotary_pos_emb_vision
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index

from export.backbones.qwen_image_edit.processor import IMAGE_PAD, EditProcessor
from studio_mini.architecture import PICTURE_SIZE, VISION_PATCH

MERGED_TOKENS = (PICTURE_SIZE // VISION_PATCH // 2) ** 2


class Patcher:
    """Turns uint8 pictures (batch, 128, 128, 3) into the processor's patches (batch, 64, values)."""

    def __init__(self, processor: EditProcessor) -> None:
        pictures = processor.image_processor
        self._mean = torch.tensor(pictures.image_mean).view(1, 3, 1, 1)
        self._std = torch.tensor(pictures.image_std).view(1, 3, 1, 1)

    def __call__(self, pictures: Tensor) -> Tensor:
        """Normalize, cut into patches in merge order, repeat each over the two frames of a temporal patch."""
        x = (pictures.permute(0, 3, 1, 2).float() / 255 - self._mean) / self._std
        side = PICTURE_SIZE // VISION_PATCH // 2
        x = x.reshape(-1, 3, side, 2, VISION_PATCH, side, 2, VISION_PATCH).permute(0, 2, 5, 3, 6, 1, 4, 7)
        x = x.unsqueeze(6).expand(*x.shape[:6], 2, *x.shape[6:])
        return x.reshape(len(pictures), 4 * side * side, -1)


def picture_tokens(model: Qwen2_5_VLForConditionalGeneration, patches: Tensor) -> Tensor:
    """Run the vision tower: patches (batch, 64, values) to merged tokens (batch, 16, channels)."""
    visual = model.model.visual
    grid = torch.tensor([[1, PICTURE_SIZE // VISION_PATCH, PICTURE_SIZE // VISION_PATCH]])
    window_index, _ = get_vision_window_index(grid, 2, visual.window_size, VISION_PATCH)
    cos, sin = (
        table.view(MERGED_TOKENS, 4, -1)[window_index].flatten(0, 1)
        for table in visual.rotary_pos_emb(patches, get_vision_position_ids(grid, 2))
    )
    x = F.linear(patches, visual.patch_embed.proj.weight.flatten(1))
    x = x.unflatten(1, (MERGED_TOKENS, 4))[:, window_index].flatten(1, 2)
    window = (visual.window_size // VISION_PATCH) ** 2
    for number, block in enumerate(visual.blocks):
        span = x.shape[1] if number in visual.fullatt_block_indexes else window
        x = x + _vision_attention(block.attn, block.norm1(x), cos, sin, span)
        x = x + block.mlp(block.norm2(x))
    merged = visual.merger(x.flatten(0, 1)).unflatten(0, (len(patches), MERGED_TOKENS))
    return merged[:, torch.argsort(window_index)]


def _vision_attention(attention: Qwen2_5_VLVisionAttention, x: Tensor, cos: Tensor, sin: Tensor, span: int) -> Tensor:
    """Attention within consecutive spans of the (already permuted) sequence."""
    batch, length, channels = x.shape
    q, k, v = attention.qkv(x).view(batch, length, 3, attention.num_heads, -1).unbind(2)
    q, k = apply_rotary_pos_emb_vision(q, k, cos, sin)
    q, k, v = (t.view(batch * length // span, span, *t.shape[2:]).transpose(1, 2) for t in (q, k, v))
    out = float32_attention(q, k, v).transpose(1, 2)
    return attention.proj(out.reshape(batch, length, channels))


def float32_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *, causal: bool = False, gqa: bool = False
) -> Tensor:
    """Scaled dot-product attention outside autocast: on a CPU its bfloat16 form is several times slower."""
    with torch.autocast("cpu", enabled=False):
        return F.scaled_dot_product_attention(
            q.float(), k.float(), v.float(), attn_mask=mask, is_causal=causal, enable_gqa=gqa
        )


def _text_attention(
    _module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **_: object
) -> tuple[Tensor, None]:
    """``float32_attention`` in the form that transformers calls; no mask means causal."""
    gqa, causal = query.shape[1] != key.shape[1], attention_mask is None
    return float32_attention(query, key, value, attention_mask, causal=causal, gqa=gqa).transpose(1, 2), None


AttentionInterface.register("float32_attention", _text_attention)


def use_float32_attention(model: Qwen2_5_VLForConditionalGeneration) -> None:
    """Let the language model attend in FP32 under autocast; not written to the model's configuration file."""
    model.model.language_model.set_attn_implementation("float32_attention")


@dataclass(frozen=True, eq=False)
class PackedTexts:
    """One batch of texts: a prefix with pictures, shared by all, then slots.

    Attributes:
        ids: (batch, tokens), right-padded within each slot.
        mask: Additive attention mask (1, 1, tokens, tokens).
        positions: 3-D positions (3, 1, tokens).
        is_picture: (tokens,), true where a picture token stands.
        starts: First token of each slot.
        last: (batch, slots), index of each slot's last token.
    """

    ids: Tensor
    mask: Tensor
    positions: Tensor
    is_picture: Tensor
    starts: list[int]
    last: Tensor


class Packer:
    """Lays out texts of one prefix; the prefix mentions its pictures with ``<|image_pad|>``."""

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration, processor: EditProcessor, prefix: str) -> None:
        self._tokenizer = processor.tokenizer
        pictures = prefix.count(IMAGE_PAD)
        ids = self._tokenizer(prefix.replace(IMAGE_PAD, IMAGE_PAD * MERGED_TOKENS), return_tensors="pt")["input_ids"]
        self._prefix = ids
        self._is_picture = ids[0] == processor.image_pad_id
        side = PICTURE_SIZE // VISION_PATCH
        self._positions, _ = model.model.get_rope_index(
            ids, self._is_picture[None].int(), torch.tensor([[1, side, side]] * pictures)
        )
        self._tokens: dict[str, list[int]] = {}

    def __call__(self, slots: Sequence[Sequence[str]], widths: Sequence[int] | None = None) -> PackedTexts:
        """Lay out ``slots[slot][item]``, the texts that follow the prefix, in slots of ``widths`` tokens."""
        tokens = [[self._tokenize(text) for text in slot] for slot in slots]
        widths = widths or [max(map(len, slot)) for slot in tokens]
        prefix, total = self._prefix.shape[1], self._prefix.shape[1] + sum(widths)
        ids = torch.zeros(len(slots[0]), total, dtype=torch.long)
        ids[:, :prefix] = self._prefix
        owner = torch.full((total,), -1)
        positions = torch.zeros(3, 1, total, dtype=torch.long)
        positions[..., :prefix] = self._positions
        starts, last, start = [], torch.zeros(len(slots[0]), len(slots), dtype=torch.long), prefix
        for number, (slot, width) in enumerate(zip(tokens, widths, strict=True)):
            for item, text in enumerate(slot):
                ids[item, start : start + len(text)] = torch.tensor(text)
                last[item, number] = start + len(text) - 1
            owner[start : start + width] = number
            positions[..., start : start + width] = self._positions.max() + 1 + torch.arange(width)
            starts.append(start)
            start += width
        is_picture = torch.cat([self._is_picture, torch.zeros(total - prefix, dtype=torch.bool)])
        return PackedTexts(ids, _slot_mask(owner), positions, is_picture, starts, last)

    def _tokenize(self, text: str) -> list[int]:
        if text not in self._tokens:
            self._tokens[text] = self._tokenizer(text)["input_ids"]
        return self._tokens[text]


def _slot_mask(owner: Tensor) -> Tensor:
    """Additive mask: causal, and a slot sees the prefix (owner -1) and itself."""
    causal = torch.ones(len(owner), len(owner), dtype=torch.bool).tril()
    seen = causal & ((owner[None, :] == -1) | (owner[None, :] == owner[:, None]))
    return torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)[None, None]


def hidden_states(model: Qwen2_5_VLForConditionalGeneration, texts: PackedTexts, pictures: Tensor) -> Tensor:
    """Run the language model, final norm included.

    Args:
        model: Text encoder and judge.
        texts: As a ``Packer`` lays them out.
        pictures: Merged tokens of all the prefix's pictures, (batch, pictures * 16, channels).

    Returns:
        (batch, tokens, channels).
    """
    language = model.model.language_model
    embedded = language.embed_tokens(texts.ids)
    at = texts.is_picture.nonzero()[:, 0]
    embedded = embedded.index_copy(1, at, pictures.to(embedded.dtype))
    return language(
        inputs_embeds=embedded,
        attention_mask={"full_attention": texts.mask},
        position_ids=texts.positions,
        use_cache=False,
    ).last_hidden_state


def at_last(hidden: Tensor, texts: PackedTexts) -> Tensor:
    """Pick each slot's last hidden state: (batch, slots, channels)."""
    return hidden.gather(1, texts.last[..., None].expand(-1, -1, hidden.shape[-1]))

"""The denoiser's forward pass for training: the modules of ``QwenImageTransformer2DModel``, fewer copies.

Noisy tokens and conditioning tokens (time 0 in Edit-2511) are modulated as two slices instead of by a per-token choice
among two full-size tables. A test holds that the result is the original's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import QwenImageTransformer2DModel
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_qwenimage import QwenImageTransformerBlock, apply_rotary_emb_qwen
from torch import Tensor

from studio_mini.architecture import LATENT_TOKENS, TOKEN_GRID

Rope = tuple[Tensor, Tensor]


def velocity(
    model: QwenImageTransformer2DModel,
    noisy: Tensor,
    conditioning: Tensor,
    text: Tensor,
    text_mask: Tensor,
    sigma: Tensor,
) -> Tensor:
    """Predict the velocity of the noisy tokens.

    Args:
        model: Denoiser with ``zero_cond_t``.
        noisy: Packed noisy latents (batch, 64, 64).
        conditioning: Packed latents of all conditioning pictures (batch, pictures * 64, 64).
        text: Prompt embeddings (batch, tokens, channels).
        text_mask: True for real tokens, (batch, tokens).
        sigma: Noise levels in (0, 1], (batch,).

    Returns:
        (batch, 64, 64).
    """
    pictures = conditioning.shape[1] // LATENT_TOKENS
    shapes = [(1, TOKEN_GRID, TOKEN_GRID)] * (1 + pictures)
    rope = model.pos_embed([shapes], max_txt_seq_len=text.shape[1], device=noisy.device)
    image = model.img_in(torch.cat([noisy, conditioning], dim=1))
    words = model.txt_in(model.txt_norm(text))
    time = model.time_text_embed(sigma, image)
    time_zero = model.time_text_embed(torch.zeros(1, device=image.device), image)
    seen = torch.cat([text_mask, torch.ones(image.shape[:2], dtype=torch.bool, device=image.device)], dim=1)
    mask = torch.zeros(seen.shape, device=image.device).masked_fill(~seen, torch.finfo(torch.float32).min)[
        :, None, None
    ]
    *blocks, last = model.transformer_blocks
    for block in blocks:
        image, words = _block(block, image, words, time, time_zero, rope, mask)
    return model.proj_out(model.norm_out(_last_block(last, image, words, time, time_zero, rope, mask), time))


def _block(
    block: QwenImageTransformerBlock,
    image: Tensor,
    words: Tensor,
    time: Tensor,
    time_zero: Tensor,
    rope: Rope,
    mask: Tensor,
) -> tuple[Tensor, Tensor]:
    noisy = block.img_mod(time)[:, None].chunk(6, dim=-1)
    clean = block.img_mod(time_zero)[:, None].chunk(6, dim=-1)
    text = block.txt_mod(time)[:, None].chunk(6, dim=-1)
    image_in = _two_slices(block.img_norm1(image), noisy[0], noisy[1], clean[0], clean[1])
    image_out, text_out = _attention(
        block.attn, image_in, _scaled(block.txt_norm1(words), text[0], text[1]), rope, mask
    )
    image = image + _two_gates(image_out, noisy[2], clean[2])
    words = words + text[2] * text_out
    hidden = block.img_mlp(_two_slices(block.img_norm2(image), noisy[3], noisy[4], clean[3], clean[4]))
    image = image + _two_gates(hidden, noisy[5], clean[5])
    words = words + text[5] * block.txt_mlp(_scaled(block.txt_norm2(words), text[3], text[4]))
    return image, words


def _last_block(
    block: QwenImageTransformerBlock,
    image: Tensor,
    words: Tensor,
    time: Tensor,
    time_zero: Tensor,
    rope: Rope,
    mask: Tensor,
) -> Tensor:
    """Only the noisy tokens leave the last block, so only they are carried through it."""
    noisy = block.img_mod(time)[:, None].chunk(6, dim=-1)
    clean = block.img_mod(time_zero)[:, None].chunk(6, dim=-1)
    text = block.txt_mod(time)[:, None].chunk(6, dim=-1)
    image_in = _two_slices(block.img_norm1(image), noisy[0], noisy[1], clean[0], clean[1])
    words_in = _scaled(block.txt_norm1(words), text[0], text[1])
    out = _attention_of_noisy(block.attn, image_in, words_in, rope, mask)
    x = image[:, :LATENT_TOKENS] + noisy[2] * out
    return x + noisy[5] * block.img_mlp(_scaled(block.img_norm2(x), noisy[3], noisy[4]))


def _attention_of_noisy(attn: Attention, image: Tensor, words: Tensor, rope: Rope, mask: Tensor) -> Tensor:
    """What the noisy tokens gather from all tokens."""
    heads, angles = attn.heads, torch.cat([rope[1], rope[0]])

    def split(x: Tensor) -> Tensor:
        return x.unflatten(-1, (heads, -1))

    q = attn.norm_q(split(attn.to_q(image[:, :LATENT_TOKENS])))
    q = apply_rotary_emb_qwen(q, rope[0][:LATENT_TOKENS], use_real=False)
    k = torch.cat([attn.norm_added_k(split(attn.add_k_proj(words))), attn.norm_k(split(attn.to_k(image)))], dim=1)
    k = apply_rotary_emb_qwen(k, angles, use_real=False)
    v = torch.cat([split(attn.add_v_proj(words)), split(attn.to_v(image))], dim=1)
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    return attn.to_out[0](_attend(q, k, v, mask).transpose(1, 2).flatten(2))


def _attention(attn: Attention, image: Tensor, words: Tensor, rope: Rope, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Joint attention, text first as in the original."""
    heads, length = attn.heads, words.shape[1]

    def split(x: Tensor) -> Tensor:
        return x.unflatten(-1, (heads, -1))

    q = _rotated(attn.norm_added_q(split(attn.add_q_proj(words))), attn.norm_q(split(attn.to_q(image))), rope)
    k = _rotated(attn.norm_added_k(split(attn.add_k_proj(words))), attn.norm_k(split(attn.to_k(image))), rope)
    v = torch.cat([split(attn.add_v_proj(words)), split(attn.to_v(image))], dim=1)
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    out = _attend(q, k, v, mask).transpose(1, 2).flatten(2)
    return attn.to_out[0](out[:, length:]), attn.to_add_out(out[:, :length])


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Scaled dot-product attention; under autocast by two plain products, a third faster than the fused FP32 form."""
    if not torch.is_autocast_enabled(q.device.type):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return (scores.float() + mask).softmax(-1) @ v


def _rotated(words: Tensor, image: Tensor, rope: Rope) -> Tensor:
    image_angles, text_angles = rope
    return apply_rotary_emb_qwen(
        torch.cat([words, image], dim=1), torch.cat([text_angles, image_angles]), use_real=False
    )


def _scaled(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1 + scale) + shift


def _two_slices(x: Tensor, shift: Tensor, scale: Tensor, shift_zero: Tensor, scale_zero: Tensor) -> Tensor:
    noisy, clean = x[:, :LATENT_TOKENS], x[:, LATENT_TOKENS:]
    return torch.cat([_scaled(noisy, shift, scale), _scaled(clean, shift_zero, scale_zero)], dim=1)


def _two_gates(x: Tensor, gate: Tensor, gate_zero: Tensor) -> Tensor:
    return torch.cat([x[:, :LATENT_TOKENS] * gate, x[:, LATENT_TOKENS:] * gate_zero], dim=1)

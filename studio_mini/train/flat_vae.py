"""The autoencoder as pictures meet it: its causal 3-D convolutions reduced to what they do to a single frame.

With one frame a causal convolution sees padding zeros in front and the frame last, so only the last temporal slice of
its kernel acts: a 2-D convolution that runs several times faster. ``flatten`` builds that twin, ``write_back`` puts
its weights into the real class; parameter names are the same in both. The temporal taps stay zero: the miniature
knows pictures, not films.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLQwenImage
from diffusers.models.autoencoders.autoencoder_kl_qwenimage import (
    QwenImageAttentionBlock,
    QwenImageCausalConv3d,
    QwenImageResample,
    QwenImageRMS_norm,
)
from torch import Tensor, nn


class _FlatNorm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, 1, 1))
        self.scale = channels**0.5

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=1) * self.scale * self.gamma


class _FlatResample(nn.Module):
    def __init__(self, resample: nn.Module) -> None:
        super().__init__()
        self.resample = resample

    def forward(self, x: Tensor, *_cache: object) -> Tensor:
        resampled: Tensor = self.resample(x)
        return resampled


class _FlatAttention(nn.Module):
    def __init__(self, block: QwenImageAttentionBlock) -> None:
        super().__init__()
        self.norm = _FlatNorm(block.dim)
        self.to_qkv, self.proj = block.to_qkv, block.proj

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        qkv = self.to_qkv(self.norm(x)).reshape(batch, 1, 3 * channels, height * width).transpose(2, 3)
        attended = F.scaled_dot_product_attention(*qkv.contiguous().chunk(3, dim=-1))
        mixed: Tensor = self.proj(attended.squeeze(1).transpose(1, 2).reshape(batch, channels, height, width))
        return x + mixed


class FlatVae(nn.Module):
    """Encoder and decoder for pictures [B, 3, H, W] in [-1, 1]; latents [B, 16, H/8, W/8]."""

    def __init__(self, vae: AutoencoderKLQwenImage) -> None:
        """Take over the modules of ``vae``, which must not be used afterwards."""
        super().__init__()
        self.encoder, self.decoder = vae.encoder, vae.decoder
        self.quant_conv, self.post_quant_conv = vae.quant_conv, vae.post_quant_conv
        _flatten_children(self)

    def encode(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the latents, each [B, 16, H/8, W/8]."""
        mean, log_variance = self.quant_conv(self.encoder(pictures)).chunk(2, dim=1)
        return mean, log_variance.clamp(-30.0, 20.0)

    def decode(self, latents: Tensor) -> Tensor:
        """Return pictures [B, 3, H, W], not clamped."""
        pictures: Tensor = self.decoder(self.post_quant_conv(latents))
        return pictures

    def forward(self, pictures: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstruction, latent mean and log-variance; ``noise`` is standard normal of the latents' shape."""
        mean, log_variance = self.encode(pictures)
        return self.decode(mean + (0.5 * log_variance).exp() * noise), mean, log_variance


def write_back(flat: FlatVae, vae: AutoencoderKLQwenImage) -> None:
    """Copy the weights of ``flat`` into ``vae``; temporal taps that no picture meets become zero.

    Raises:
        ValueError: A weight of ``flat`` has no place in ``vae``.
    """
    target = vae.state_dict()
    written = {}
    for name, value in flat.state_dict().items():
        if name not in target:
            raise ValueError(f"{name} is not a weight of the autoencoder")
        place = target[name]
        if place.ndim == 5:
            volume = torch.zeros_like(place)
            volume[:, :, -1] = value
            written[name] = volume
        else:
            written[name] = value.reshape(place.shape)
    for name in target.keys() - written.keys():
        if "time_conv" not in name:
            raise ValueError(f"{name} of the autoencoder was not trained")
        written[name] = torch.zeros_like(target[name])
    vae.load_state_dict(written)


def _flatten_children(module: nn.Module) -> None:
    for name, child in module.named_children():
        twin = _flat_twin(child)
        if twin is child:
            _flatten_children(child)
        else:
            setattr(module, name, twin)


def _flat_twin(module: nn.Module) -> nn.Module:
    if isinstance(module, QwenImageCausalConv3d):
        size = module.kernel_size[1]
        conv = nn.Conv2d(module.in_channels, module.out_channels, size, padding=size // 2)
        conv.load_state_dict({"weight": module.weight[:, :, -1], "bias": module.bias})
        return conv
    if isinstance(module, QwenImageRMS_norm):
        return _FlatNorm(module.gamma.shape[0])
    if isinstance(module, QwenImageResample):
        return _FlatResample(module.resample)
    if isinstance(module, QwenImageAttentionBlock):
        return _FlatAttention(module)
    return module

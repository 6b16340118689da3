"""The autoencoder for single frames: pictures to normalized latents, and back.

A causal 3-D convolution sees a lone frame behind frames of zeros, so that only the last slice of its kernel matters.
The graphs use that slice as a 2-D convolution, and have no time axis: the same numbers in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLQwenImage
from diffusers.models.autoencoders.autoencoder_kl_qwenimage import (
    QwenImageAttentionBlock,
    QwenImageCausalConv3d,
    QwenImageResample,
    QwenImageRMS_norm,
)
from torch import nn

from eacps.tensors import VAE_DECODER, VAE_ENCODER, ModelSpec
from export.networks.network import ParityCase, Tensors, TorchNetwork, case_of, copy_sharing_weights

# Batch, height and width of the latents in the parity cases.
VaeShape = tuple[int, int, int]
SHAPES: tuple[VaeShape, ...] = ((1, 16, 16), (3, 8, 12))


class FrameConv(nn.Module):
    """A causal convolution of one frame, (batch, channels, height, width)."""

    def __init__(self, convolution: QwenImageCausalConv3d) -> None:
        super().__init__()
        self.weight = nn.Parameter(convolution.weight[:, :, -1].detach().contiguous())
        self.bias = convolution.bias
        self.stride = convolution.stride[1:]
        left, _, top, _, _, _ = convolution._padding
        self.padding = (top, left)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve."""
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding)


class FrameNorm(nn.Module):
    """The autoencoder's normalization over channels: to length 1, times the square root of their number."""

    def __init__(self, norm: QwenImageRMS_norm) -> None:
        super().__init__()
        if not norm.channel_first or isinstance(norm.bias, nn.Parameter):
            raise ValueError("the autoencoder has a normalization of another kind")
        self.weight = nn.Parameter((norm.gamma.detach() * norm.scale).reshape(-1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize (batch, channels, height, width)."""
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp_min(1e-12)
        return x / length * self.weight


class FrameAttention(nn.Module):
    """Self-attention of one head over all positions of a frame.

    Args:
        block: Whose weights are used.
        fused: Call torch's kernel. Graphs have it written out, for which TensorRT has its own fusion; torch's export
            adds a guard against rows without any key.
    """

    def __init__(self, block: QwenImageAttentionBlock, *, fused: bool) -> None:
        super().__init__()
        self.norm, self.to_qkv, self.proj = FrameNorm(block.norm), block.to_qkv, block.proj
        self.dim, self.fused = block.dim, fused

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend within each frame (batch, channels, height, width)."""
        tokens = self.to_qkv(self.norm(x)).flatten(2).transpose(1, 2)
        query, key, value = (tokens.narrow(2, part * self.dim, self.dim) for part in range(3))
        if self.fused:
            attended = F.scaled_dot_product_attention(query, key, value)
        else:
            attended = torch.softmax(query * self.dim**-0.5 @ key.transpose(1, 2), dim=-1) @ value
        projected: torch.Tensor = self.proj(attended.transpose(1, 2).reshape(x.shape))
        return projected + x


def frame_resampling(resample: QwenImageResample) -> nn.Sequential:
    """Return the layers that halve or double a frame; along time the original does nothing to a single frame."""
    layers = list(resample.resample)
    if isinstance(layers[0], nn.Upsample):
        # By a whole factor this is "nearest-exact" too, which ONNX cannot say.
        layers[0] = nn.Upsample(scale_factor=layers[0].scale_factor, mode="nearest")
    return nn.Sequential(*layers)


def single_frame(module: nn.Module, *, fused: bool = False) -> nn.Module:
    """Return a copy of a part of the autoencoder that works on frames (batch, channels, height, width).

    Args:
        module: The part; weights are shared.
        fused: See `FrameAttention`.
    """
    if isinstance(module, QwenImageCausalConv3d):
        return FrameConv(module)
    if isinstance(module, QwenImageRMS_norm):
        return FrameNorm(module)
    if isinstance(module, QwenImageAttentionBlock):
        return FrameAttention(module, fused=fused)
    if isinstance(module, QwenImageResample):
        return frame_resampling(module)
    module = copy_sharing_weights(module)
    for name, child in list(module.named_children()):
        setattr(module, name, single_frame(child, fused=fused))
    return module


class _LatentStatistics(nn.Module):
    """Mean and standard deviation of the latents, shaped for broadcasting."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, vae: AutoencoderKLQwenImage) -> None:
        super().__init__()
        self.depth = int(vae.config.z_dim)
        for name, values in (("mean", vae.config.latents_mean), ("std", vae.config.latents_std)):
            self.register_buffer(name, torch.tensor(values).view(1, self.depth, 1, 1), persistent=False)


class VaeEncoderGraph(_LatentStatistics):
    """Picture to the normalized mode of its latents."""

    def __init__(self, vae: AutoencoderKLQwenImage, *, fused: bool = False) -> None:
        super().__init__(vae)
        self.encoder, self.quant = single_frame(vae.encoder, fused=fused), single_frame(vae.quant_conv)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Encode (batch, 3, height, width) in [-1, 1]."""
        moments = self.quant(self.encoder(picture))
        return (moments[:, : self.depth] - self.mean) / self.std


class VaeDecoderGraph(_LatentStatistics):
    """Normalized latents to a picture."""

    def __init__(self, vae: AutoencoderKLQwenImage, *, fused: bool = False) -> None:
        super().__init__(vae)
        self.decoder, self.post_quant = single_frame(vae.decoder, fused=fused), single_frame(vae.post_quant_conv)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode (batch, depth, height, width)."""
        decoded: torch.Tensor = self.decoder(self.post_quant(latents * self.std + self.mean))
        return decoded.clamp(-1.0, 1.0)


class VaeEncoderNetwork(TorchNetwork):
    """The exportable encoder of a checkpoint; ``shapes`` as for the decoder."""

    spec: ModelSpec = VAE_ENCODER

    def __init__(self, vae: AutoencoderKLQwenImage, shapes: Sequence[VaeShape] = SHAPES) -> None:
        self.vae, self.shapes = vae.eval(), shapes
        self.scale = 2 ** len(vae.temperal_downsample)

    def graph(self, *, fused: bool = False) -> nn.Module:
        """Return the module to export."""
        return VaeEncoderGraph(self.vae, fused=fused)

    def example(self) -> Tensors:
        """Return inputs to trace with."""
        return self._case(2, 6, 8).inputs

    def cases(self) -> Iterator[ParityCase]:
        """Compute the cases with diffusers' own encoder."""
        for shape in self.shapes:
            yield self._case(*shape)

    @torch.no_grad()
    def _case(self, batch: int, rows: int, columns: int) -> ParityCase:
        generator = torch.Generator().manual_seed(batch)
        height, width = rows * self.scale, columns * self.scale
        picture = torch.rand(batch, 3, height, width, generator=generator) * 2 - 1
        mode = self.vae.encode(picture.unsqueeze(2)).latent_dist.mode()[:, :, 0]
        statistics = _LatentStatistics(self.vae)
        latents = (mode - statistics.mean) / statistics.std
        return case_of(f"batch {batch}, {width}x{height} pixels", {"picture": picture}, {"latents": latents})


class VaeDecoderNetwork(TorchNetwork):
    """The exportable decoder of a checkpoint.

    Args:
        vae: In FP32.
        shapes: Of the parity cases.
    """

    spec: ModelSpec = VAE_DECODER

    def __init__(self, vae: AutoencoderKLQwenImage, shapes: Sequence[VaeShape] = SHAPES) -> None:
        self.vae, self.shapes = vae.eval(), shapes

    def graph(self, *, fused: bool = False) -> nn.Module:
        """Return the module to export."""
        return VaeDecoderGraph(self.vae, fused=fused)

    def example(self) -> Tensors:
        """Return inputs to trace with."""
        return self._case(2, 6, 8).inputs

    def cases(self) -> Iterator[ParityCase]:
        """Compute the cases with diffusers' own decoder."""
        for shape in self.shapes:
            yield self._case(*shape)

    @torch.no_grad()
    def _case(self, batch: int, height: int, width: int) -> ParityCase:
        statistics = _LatentStatistics(self.vae)
        generator = torch.Generator().manual_seed(batch)
        latents = torch.randn(batch, statistics.depth, height, width, generator=generator)
        frames = (latents * statistics.std + statistics.mean).unsqueeze(2)
        picture = self.vae.decode(frames, return_dict=False)[0][:, :, 0]
        return case_of(f"batch {batch}, {width}x{height} latents", {"latents": latents}, {"picture": picture})

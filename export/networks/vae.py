"""The autoencoder for single frames: normalised latents out of pictures and back.

A causal 3-D convolution sees a lone frame behind frames of zeros: only the last slice of its kernel meets anything.
The graphs use that slice as a 2-D convolution, which gives the same numbers in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLQwenImage
from diffusers.models.autoencoders.autoencoder_kl_qwenimage import QwenImageCausalConv3d
from torch import nn

from eacps.tensors import VAE_DECODER, VAE_ENCODER, ModelSpec
from export.networks.network import ParityCase, Tensors, TorchNetwork, case_of, copy_sharing_weights

# Batch, height and width of the latents in the parity cases.
VaeShape = tuple[int, int, int]
SHAPES: tuple[VaeShape, ...] = ((1, 16, 16), (3, 8, 12))


class SingleFrameConv(nn.Module):
    """What a causal convolution does to one frame (batch, channels, 1, height, width)."""

    def __init__(self, convolution: QwenImageCausalConv3d) -> None:
        super().__init__()
        self.weight = nn.Parameter(convolution.weight[:, :, -1].detach().contiguous())
        self.bias = convolution.bias
        self.stride = convolution.stride[1:]
        left, _, top, _, _, _ = convolution._padding
        self.padding = (top, left)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve."""
        return F.conv2d(x[:, :, 0], self.weight, self.bias, self.stride, self.padding).unsqueeze(2)


def single_frame(module: nn.Module) -> nn.Module:
    """Return a copy of ``module`` whose causal convolutions are two-dimensional."""
    module = copy_sharing_weights(module)
    if isinstance(module, QwenImageCausalConv3d):
        return SingleFrameConv(module)
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, QwenImageCausalConv3d):
                setattr(parent, name, SingleFrameConv(child))
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
    """Picture to the normalised mode of its latents."""

    def __init__(self, vae: AutoencoderKLQwenImage) -> None:
        super().__init__(vae)
        self.encoder, self.quant = single_frame(vae.encoder), single_frame(vae.quant_conv)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Encode (batch, 3, height, width) in [-1, 1]."""
        # Without a feature cache the layers that merge frames pass a lone frame on unchanged.
        moments = self.quant(self.encoder(picture.unsqueeze(2)))
        return (moments[:, : self.depth, 0] - self.mean) / self.std


class VaeDecoderGraph(_LatentStatistics):
    """Normalised latents to a picture."""

    def __init__(self, vae: AutoencoderKLQwenImage) -> None:
        super().__init__(vae)
        self.decoder, self.post_quant = single_frame(vae.decoder), single_frame(vae.post_quant_conv)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode (batch, depth, height, width)."""
        decoded = self.decoder(self.post_quant((latents * self.std + self.mean).unsqueeze(2)))
        return decoded[:, :, 0].clamp(-1.0, 1.0)


class VaeEncoderNetwork(TorchNetwork):
    """The exportable encoder of a checkpoint; ``shapes`` as for the decoder."""

    spec: ModelSpec = VAE_ENCODER

    def __init__(self, vae: AutoencoderKLQwenImage, shapes: Sequence[VaeShape] = SHAPES) -> None:
        self.vae, self.shapes = vae.eval(), shapes
        self.scale = 2 ** len(vae.temperal_downsample)

    def graph(self, *, fused: bool = False) -> nn.Module:  # noqa: ARG002  # one module for both
        """The module to export."""
        return VaeEncoderGraph(self.vae)

    def example(self) -> Tensors:
        """Inputs to trace with."""
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

    def graph(self, *, fused: bool = False) -> nn.Module:  # noqa: ARG002  # one module for both
        """The module to export."""
        return VaeDecoderGraph(self.vae)

    def example(self) -> Tensors:
        """Inputs to trace with."""
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

"""The autoencoder: pictures to latents of squares of 2x2 cells, normalized by its batch norm, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline
from diffusers.models.attention_processor import Attention
from torch import nn

from eacps.tensors import VAE_DECODER, VAE_ENCODER, ModelSpec
from export.networks.network import ParityCase, Tensors, TorchNetwork, case_of, copy_sharing_weights

# Batch, height and width of the latents, in squares, in the parity cases.
VaeShape = tuple[int, int, int]
SHAPES: tuple[VaeShape, ...] = ((1, 8, 8), (3, 4, 6))
PATCH = 2


class FrameAttention(nn.Module):
    """Self-attention over all positions of a picture.

    Args:
        attention: Whose weights are used.
        fused: Call torch's kernel. Graphs have it written out, for which TensorRT has its own fusion; torch's export
            adds a guard against rows without any key.
    """

    def __init__(self, attention: Attention, *, fused: bool) -> None:
        super().__init__()
        if attention.heads != 1 or attention.spatial_norm is not None or not attention.residual_connection:
            raise ValueError("the autoencoder has an attention of another kind")
        self.norm, self.to_out = attention.group_norm, attention.to_out[0]
        self.to_query, self.to_key, self.to_value = attention.to_q, attention.to_k, attention.to_v
        self.fused, self.factor = fused, attention.rescale_output_factor

    def forward(self, x: torch.Tensor, temb: None = None) -> torch.Tensor:  # noqa: ARG002  # the block passes it
        """Attend within each picture (batch, channels, height, width)."""
        tokens = self.norm(x.flatten(2)).transpose(1, 2)
        query, key, value = self.to_query(tokens), self.to_key(tokens), self.to_value(tokens)
        if self.fused:
            attended = F.scaled_dot_product_attention(query, key, value)
        else:
            attended = torch.softmax(query * query.shape[-1] ** -0.5 @ key.transpose(1, 2), dim=-1) @ value
        projected: torch.Tensor = self.to_out(attended).transpose(1, 2).reshape(x.shape)
        return (projected + x) / self.factor


def exportable(module: nn.Module, *, fused: bool) -> nn.Module:
    """Return a copy of encoder or decoder whose attention can be exported; weights are shared."""
    copied = copy_sharing_weights(module)
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Attention):
                setattr(parent, name, FrameAttention(child, fused=fused))
    return copied


class _BatchNorm(nn.Module):
    """Mean and standard deviation of the latents of a square, shaped for broadcasting."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, vae: AutoencoderKLFlux2) -> None:
        super().__init__()
        self.depth = int(vae.config.latent_channels)
        std = torch.sqrt(vae.bn.running_var + vae.config.batch_norm_eps)
        for name, values in (("mean", vae.bn.running_mean), ("std", std)):
            self.register_buffer(name, values.detach().view(1, -1, 1, 1), persistent=False)


class VaeEncoderGraph(_BatchNorm):
    """Picture to the normalized mode of its latents."""

    def __init__(self, vae: AutoencoderKLFlux2, *, fused: bool = False) -> None:
        super().__init__(vae)
        self.encoder, self.quant = exportable(vae.encoder, fused=fused), vae.quant_conv or nn.Identity()

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Encode (batch, 3, height, width) in [-1, 1]."""
        moments = self.quant(self.encoder(picture))
        return (F.pixel_unshuffle(moments[:, : self.depth], PATCH) - self.mean) / self.std


class VaeDecoderGraph(_BatchNorm):
    """Normalized latents to a picture."""

    def __init__(self, vae: AutoencoderKLFlux2, *, fused: bool = False) -> None:
        super().__init__(vae)
        self.decoder, self.post_quant = exportable(vae.decoder, fused=fused), vae.post_quant_conv or nn.Identity()

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode (batch, depth, height, width)."""
        decoded: torch.Tensor = self.decoder(self.post_quant(F.pixel_shuffle(latents * self.std + self.mean, PATCH)))
        return decoded.clamp(-1.0, 1.0)


class VaeEncoderNetwork(TorchNetwork):
    """The exportable encoder of a checkpoint; ``shapes`` as for the decoder."""

    spec: ModelSpec = VAE_ENCODER

    def __init__(self, vae: AutoencoderKLFlux2, shapes: Sequence[VaeShape] = SHAPES) -> None:
        self.vae, self.shapes = vae.eval(), shapes
        self.scale = PATCH * 2 ** (len(vae.config.block_out_channels) - 1)

    def graph(self, *, fused: bool = False) -> nn.Module:
        """Return the module to export."""
        return VaeEncoderGraph(self.vae, fused=fused)

    def example(self) -> Tensors:
        """Return inputs to trace with."""
        return self._case(2, 3, 4).inputs

    def cases(self) -> Iterator[ParityCase]:
        """Compute the cases with diffusers' own encoder and pipeline."""
        for shape in self.shapes:
            yield self._case(*shape)

    @torch.no_grad()
    def _case(self, batch: int, rows: int, columns: int) -> ParityCase:
        generator = torch.Generator().manual_seed(batch)
        height, width = rows * self.scale, columns * self.scale
        picture = torch.rand(batch, 3, height, width, generator=generator) * 2 - 1
        squares = Flux2KleinPipeline._patchify_latents(self.vae.encode(picture).latent_dist.mode())
        statistics = _BatchNorm(self.vae)
        latents = (squares - statistics.mean) / statistics.std
        return case_of(f"batch {batch}, {width}x{height} pixels", {"picture": picture}, {"latents": latents})


class VaeDecoderNetwork(TorchNetwork):
    """The exportable decoder of a checkpoint.

    Args:
        vae: In FP32.
        shapes: Of the parity cases.
    """

    spec: ModelSpec = VAE_DECODER

    def __init__(self, vae: AutoencoderKLFlux2, shapes: Sequence[VaeShape] = SHAPES) -> None:
        self.vae, self.shapes = vae.eval(), shapes

    def graph(self, *, fused: bool = False) -> nn.Module:
        """Return the module to export."""
        return VaeDecoderGraph(self.vae, fused=fused)

    def example(self) -> Tensors:
        """Return inputs to trace with."""
        return self._case(2, 3, 4).inputs

    def cases(self) -> Iterator[ParityCase]:
        """Compute the cases with diffusers' own decoder and pipeline."""
        for shape in self.shapes:
            yield self._case(*shape)

    @torch.no_grad()
    def _case(self, batch: int, height: int, width: int) -> ParityCase:
        statistics = _BatchNorm(self.vae)
        generator = torch.Generator().manual_seed(batch)
        latents = torch.randn(batch, PATCH**2 * statistics.depth, height, width, generator=generator)
        squares = Flux2KleinPipeline._unpatchify_latents(latents * statistics.std + statistics.mean)
        picture = self.vae.decode(squares, return_dict=False)[0].clamp(-1.0, 1.0)
        return case_of(f"batch {batch}, {width}x{height} latents", {"latents": latents}, {"picture": picture})

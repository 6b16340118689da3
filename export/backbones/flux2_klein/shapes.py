"""Shapes of FLUX.2 klein's networks, for each bucket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from eacps.models.backbones.flux2_klein.config import Config
from eacps.models.backbones.flux2_klein.contract import DENOISER, TEXT_ENCODER
from eacps.models.backbones.flux2_klein.pictures import seen_size
from eacps.tensors import VAE_DECODER, VAE_ENCODER, ModelSpec
from export.backbones.flux2_klein import denoiser, text_encoder, vae
from export.backbones.flux2_klein.denoiser import DenoiserShape
from export.backbones.flux2_klein.text_encoder import TextShape
from export.backbones.flux2_klein.vae import VaeShape
from export.buckets import Bucket, Buckets, Size
from export.profiles import NetworkShapes, Profile, Shapes, batched, without_batch


class KleinShapes(NetworkShapes):
    """The shapes of the networks of a checkpoint, and of the cases in which they are compared with their originals.

    Args:
        config: Of the checkpoint.
        buckets: Served.
        text_channels: Width of the embeddings.
    """

    def __init__(self, config: Config, buckets: Buckets, text_channels: int) -> None:
        self.config, self.buckets, self.text_channels = config, buckets, text_channels

    def profiles(self, spec: ModelSpec) -> list[Profile]:
        """Return the profiles of a network, those of the default size first."""
        shapes = {
            DENOISER.name: self._denoiser,
            TEXT_ENCODER.name: self._text_encoder,
            VAE_ENCODER.name: self._vae_encoder,
            VAE_DECODER.name: self._vae_decoder,
        }
        return [batched(one, one, self.buckets.max_batch) for one in shapes[spec.name]()]

    def warmup(self, spec: ModelSpec) -> Shapes:
        """Return the shapes, without batch axis, of one ordinary request to a network: of the first bucket."""
        return without_batch(spec, self.profiles(spec)[0].usual)

    def grids(self, bucket: Bucket) -> tuple[tuple[int, int], ...]:
        """Rows and columns in tokens: of the result, then of each conditioning picture."""
        multiple, (width, height) = self.config.size_multiple, bucket.size
        rows, columns = seen_size(height, width, multiple)
        seen = [(rows // multiple, columns // multiple)] * bucket.pictures
        return ((height // multiple, width // multiple), *seen)

    def denoiser_cases(self, *, fixed: bool) -> Sequence[DenoiserShape]:
        """Of the buckets, where networks take those alone: of every size, and the largest batch of the smallest."""
        if not fixed:
            return denoiser.SHAPES
        first = {bucket.size: bucket for bucket in reversed(list(self.buckets))}
        smallest = min(first.values(), key=lambda bucket: prod(bucket.size))
        last = [bucket for bucket in self.buckets if bucket.size == smallest.size][-1]
        text = self.config.text_tokens
        ones = (DenoiserShape(1, text, self.grids(bucket)) for bucket in (*first.values(), last))
        return (*ones, DenoiserShape(self.buckets.max_batch, text, self.grids(smallest)))

    def denoiser_case_tokens(self, *, fixed: bool) -> int:
        """Tokens, times batch, of the largest case of a bucket; 0 where shapes are free, and small."""
        shapes = self.denoiser_cases(fixed=True) if fixed else ()
        return max((one.batch * (one.text_tokens + sum(map(prod, one.grids))) for one in shapes), default=0)

    def text_cases(self, *, fixed: bool) -> Sequence[TextShape]:
        """Of the one length, where networks take that alone."""
        left, length = self.config.pad_left, self.config.text_tokens
        if not fixed:
            return [TextShape(shape.batch, shape.tokens, left) for shape in text_encoder.SHAPES]
        return [TextShape(batch, length, left) for batch in sorted({1, self.buckets.max_batch})]

    def vae_cases(self, spec: ModelSpec, *, fixed: bool) -> Sequence[VaeShape]:
        """Of every size, in squares of the latents."""
        if not fixed:
            return vae.SHAPES
        scale = self.config.vae_scale if spec is VAE_ENCODER else 1
        shapes = [next(iter(profile.usual.values())) for profile in self.profiles(spec)]
        return [(1, shape[2] // scale, shape[3] // scale) for shape in shapes]

    def _denoiser(self) -> Iterator[Shapes]:
        channels, pairs = self.config.packed_channels, sum(self.config.rope_axes) // 2
        text = self.config.text_tokens
        for bucket in self.buckets:
            result, *pictures = map(prod, self.grids(bucket))
            yield {
                "latents": (result, channels),
                "picture_latents": (sum(pictures), channels),
                "encoder_hidden_states": (text, self.text_channels),
                "timestep": (1,),
                "img_rope": (result + sum(pictures), pairs, 2),
                "txt_rope": (text, pairs, 2),
            }

    def _text_encoder(self) -> Iterator[Shapes]:
        yield {"input_ids": (self.config.text_tokens,), "attention_mask": (self.config.text_tokens,)}

    def _vae_encoder(self) -> Iterator[Shapes]:
        # Conditioning pictures as they are seen; the scene, where a mask holds it, at the result's size.
        seen = {seen_size(height, width, self.config.size_multiple)[::-1] for width, height in self.buckets.sizes}
        for width, height in sorted(seen | set(self.buckets.sizes), key=self._order):
            yield {"picture": (3, height, width)}

    def _vae_decoder(self) -> Iterator[Shapes]:
        scale = self.config.vae_scale
        for width, height in self.buckets.sizes:
            yield {"latents": (self.config.latent_depth, height // scale, width // scale)}

    def _order(self, size: Size) -> tuple[bool, Size]:
        return size != self.buckets.sizes[0], size

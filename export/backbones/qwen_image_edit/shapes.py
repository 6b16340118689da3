"""Shapes of Qwen-Image-Edit's networks, for each bucket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from eacps.models.backbones.qwen_image_edit.config import Config
from eacps.models.backbones.qwen_image_edit.contract import DENOISER, JUDGE, TEXT_ENCODER
from eacps.models.backbones.qwen_image_edit.preprocessing import condition_grid, fitted_size
from eacps.tensors import VAE_DECODER, VAE_ENCODER, ModelSpec
from export.buckets import Bucket, Buckets, Size
from export.profiles import NetworkShapes, Profile, Shapes, batched, without_batch

WARMUP_TOKENS = 64  # about as many as an edit has
MIN_TEXT_TOKENS = 16  # a question about one small picture is not shorter
JUDGED_PICTURES = 2  # a question may show the scene beside the result, however few pictures an edit may show


class QwenShapes(NetworkShapes):
    """The shapes of the networks of a checkpoint.

    Args:
        config: Of the checkpoint.
        buckets: Served.
        text_channels: Width of the text encoder's hidden states.
    """

    def __init__(self, config: Config, buckets: Buckets, text_channels: int) -> None:
        self.config, self.buckets, self.text_channels = config, buckets, text_channels

    def profiles(self, spec: ModelSpec) -> list[Profile]:
        """Return the profiles of a network, those of the default size first."""
        shapes = {
            DENOISER.name: self._denoiser,
            TEXT_ENCODER.name: lambda: self._texts(max(self.buckets.max_pictures, JUDGED_PICTURES)),
            JUDGE.name: lambda: self._texts(JUDGED_PICTURES),
            VAE_ENCODER.name: self._vae_encoder,
            VAE_DECODER.name: self._vae_decoder,
        }
        return list(shapes[spec.name]())

    def warmup(self, spec: ModelSpec) -> Shapes:
        """Return the shapes, without batch axis, of one ordinary request to a network: of the first bucket."""
        bucket, fixed = next(iter(self.buckets)), self.config.shapes.fixed
        text = bucket.text_tokens if fixed else WARMUP_TOKENS
        if spec is DENOISER:
            return self.denoiser_shapes(replace(bucket, text_tokens=text))
        if spec in (TEXT_ENCODER, JUDGE):
            return self.text_shapes(self.vision_grid(bucket.size), 1, text)
        return without_batch(spec, self.profiles(spec)[0].usual)

    def denoiser_grids(self, size: Size, pictures: int) -> tuple[tuple[int, int], ...]:
        """Rows and columns in tokens: of the result, then of each conditioning picture."""
        multiple = self.config.size_multiple
        width, height = size
        seen = fitted_size(self.config.vae_image_area, height, width)
        return ((height // multiple, width // multiple), *[(seen[0] // multiple, seen[1] // multiple)] * pictures)

    def image_tokens(self, bucket: Bucket) -> int:
        """Tokens of the result and of all conditioning pictures."""
        return sum(rows * columns for rows, columns in self.denoiser_grids(bucket.size, bucket.pictures))

    def vision_grid(self, size: Size) -> tuple[int, int]:
        """Rows and columns in patches of a condition picture in the aspect ratio of ``size``."""
        width, height = size
        return condition_grid(height, width, self.config.condition_image_area, self.config.vision)

    def _denoiser(self) -> Iterator[Profile]:
        for bucket in self.buckets:
            one = self.denoiser_shapes(bucket)
            yield batched(one, one, self.buckets.max_batch)

    def denoiser_shapes(self, bucket: Bucket) -> Shapes:
        """Shapes of one item's inputs."""
        result, *pictures = (rows * columns for rows, columns in self.denoiser_grids(bucket.size, bucket.pictures))
        pairs, text = sum(self.config.rope_axes) // 2, bucket.text_tokens
        return {
            "latents": (result, self.config.packed_channels),
            "picture_latents": (sum(pictures), self.config.packed_channels),
            "encoder_hidden_states": (text, self.text_channels),
            "encoder_hidden_states_mask": (text,),
            "timestep": (1,),
            "img_rope": (self.image_tokens(bucket), pairs, 2),
            "txt_rope": (text, pairs, 2),
        }

    def _texts(self, most: int) -> Iterator[Profile]:
        """Of texts with 1 to ``most`` pictures of each grid."""
        longest = max(length for _, length in self.buckets.texts)
        for grid in sorted({self.vision_grid(size) for size in self.buckets.sizes}):
            for pictures in range(1, most + 1):
                least = self.text_shapes(grid, pictures, MIN_TEXT_TOKENS)
                tokens = self._picture_tokens(grid) * max(0, pictures - self.buckets.max_pictures)
                largest = self.text_shapes(grid, pictures, longest + tokens + self.config.template_tokens)
                yield batched(least, largest, self.buckets.max_batch)

    def _picture_tokens(self, grid: tuple[int, int]) -> int:
        return grid[0] * grid[1] // self.config.vision.merge_size**2

    def text_shapes(self, grid: tuple[int, int], pictures: int, tokens: int) -> Shapes:
        """Shapes of one item's inputs."""
        vision = self.config.vision
        patches, values = grid[0] * grid[1], 3 * vision.temporal_patch_size * vision.patch_size**2
        return {
            "pixel_values": (pictures, patches, values),
            "vision_rope": (patches, vision.head_width // 2, 2),
            "vision_window": (patches,),
            "input_ids": (tokens,),
            "attention_mask": (tokens,),
            "position_ids": (3, tokens),
            "image_index": (tokens,),
        }

    def _vae_encoder(self) -> Iterator[Profile]:
        # Conditioning pictures at their own area; the scene, where a mask holds it, at the result's.
        seen = {fitted_size(self.config.vae_image_area, height, width)[::-1] for width, height in self.buckets.sizes}
        for width, height in sorted(seen | set(self.buckets.sizes)):
            one: Shapes = {"picture": (3, height, width)}
            yield batched(one, one, self.buckets.max_batch)

    def _vae_decoder(self) -> Iterator[Profile]:
        scale = self.config.vae_scale
        for width, height in self.buckets.sizes:
            one: Shapes = {"latents": (self.config.latent_depth, height // scale, width // scale)}
            yield batched(one, one, self.buckets.max_batch)

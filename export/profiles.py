"""Optimisation profiles: for each network and bucket, the least, the usual and the largest shape of every input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from eacps.models.facts import CheckpointFacts
from eacps.models.preprocessing import condition_grid, fitted_size
from eacps.tensors import (
    DENOISER,
    FACE_DETECTOR,
    FACE_RECOGNIZER,
    FACE_SWAPPER,
    FACE_VERIFIER,
    MAX_RECOGNIZER_BATCH,
    TEXT_ENCODER,
    VAE_DECODER,
    VAE_ENCODER,
    Kind,
    ModelSpec,
)
from export.buckets import Bucket, Buckets, Size

Shape = tuple[int, ...]
Shapes = dict[str, Shape]

WARMUP_TOKENS = 64  # about as many as an edit has
MIN_TEXT_TOKENS = 16  # a question about one small picture is not shorter
JUDGED_PICTURES = 2  # a question may show the scene beside the result, however few pictures an edit may show
CROP = (3, 112, 112)


@dataclass(frozen=True)
class Profile:
    """Shapes of one profile by input, batch axis included where the model has one."""

    least: Shapes
    usual: Shapes
    largest: Shapes


class ProfileMaker:
    """Knows the shapes of every network of a checkpoint.

    Args:
        facts: Of the checkpoint.
        buckets: Served.
        text_channels: Width of the text encoder's hidden states.
        detection_size: Side, in pixels, of the square that the face detector sees.
    """

    def __init__(self, facts: CheckpointFacts, buckets: Buckets, text_channels: int, detection_size: int) -> None:
        self.facts, self.buckets = facts, buckets
        self.text_channels, self.detection_size = text_channels, detection_size

    def profiles(self, spec: ModelSpec) -> list[Profile]:
        """Give the profiles of a network, those of the default size first."""
        shapes = {
            DENOISER.name: self._denoiser,
            TEXT_ENCODER.name: self._text_encoder,
            VAE_ENCODER.name: self._vae_encoder,
            VAE_DECODER.name: self._vae_decoder,
        }
        if spec.name in shapes:
            return list(shapes[spec.name]())
        return [self._face(spec)]

    def warmup(self, spec: ModelSpec) -> Shapes:
        """Give the shapes, without batch axis, of one ordinary request to a network: of the first bucket."""
        bucket, fixed = next(iter(self.buckets)), self.facts.shapes.fixed
        text = bucket.text_tokens if fixed else WARMUP_TOKENS
        if spec is DENOISER:
            return self.denoiser_shapes(replace(bucket, text_tokens=text))
        if spec is TEXT_ENCODER:
            return self.text_shapes(self.vision_grid(bucket.size), 1, text)
        if spec.kind is not Kind.NETWORK:
            return {}
        skipped = 1 if spec.max_batch_size else 0
        return {name: shape[skipped:] for name, shape in self.profiles(spec)[0].usual.items()}

    def denoiser_grids(self, size: Size, pictures: int) -> tuple[tuple[int, int], ...]:
        """Rows and columns in tokens: of the result, then of each conditioning picture."""
        multiple = self.facts.size_multiple
        width, height = size
        seen = fitted_size(self.facts.vae_image_area, height, width)
        return ((height // multiple, width // multiple), *[(seen[0] // multiple, seen[1] // multiple)] * pictures)

    def image_tokens(self, bucket: Bucket) -> int:
        """Tokens of the result and of all conditioning pictures."""
        return sum(rows * columns for rows, columns in self.denoiser_grids(bucket.size, bucket.pictures))

    def vision_grid(self, size: Size) -> tuple[int, int]:
        """Rows and columns in patches of a condition picture in the aspect ratio of ``size``."""
        width, height = size
        return condition_grid(height, width, self.facts.condition_image_area, self.facts.vision)

    def _denoiser(self) -> Iterator[Profile]:
        for bucket in self.buckets:
            one = self.denoiser_shapes(bucket)
            yield _batched(one, one, self.buckets.max_batch)

    def denoiser_shapes(self, bucket: Bucket) -> Shapes:
        """Shapes of one item's inputs."""
        tokens = self.image_tokens(bucket)
        pairs, text = sum(self.facts.rope_axes) // 2, bucket.text_tokens
        return {
            "hidden_states": (tokens, self.facts.packed_channels),
            "encoder_hidden_states": (text, self.text_channels),
            "encoder_hidden_states_mask": (text,),
            "timestep": (1,),
            "img_rope": (tokens, pairs, 2),
            "txt_rope": (text, pairs, 2),
            "modulate_index": (tokens,),
        }

    def _text_encoder(self) -> Iterator[Profile]:
        longest = max(length for _, length in self.buckets.texts)
        for grid in sorted({self.vision_grid(size) for size in self.buckets.sizes}):
            for pictures in range(1, max(self.buckets.max_pictures, JUDGED_PICTURES) + 1):
                least = self.text_shapes(grid, pictures, MIN_TEXT_TOKENS)
                tokens = self._picture_tokens(grid) * max(0, pictures - self.buckets.max_pictures)
                largest = self.text_shapes(grid, pictures, longest + tokens + self.facts.template_tokens)
                yield _batched(least, largest, self.buckets.max_batch)

    def _picture_tokens(self, grid: tuple[int, int]) -> int:
        return grid[0] * grid[1] // self.facts.vision.merge_size**2

    def text_shapes(self, grid: tuple[int, int], pictures: int, tokens: int) -> Shapes:
        """Shapes of one item's inputs."""
        vision = self.facts.vision
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
        seen = {fitted_size(self.facts.vae_image_area, height, width)[::-1] for width, height in self.buckets.sizes}
        for width, height in sorted(seen | set(self.buckets.sizes)):
            one: Shapes = {"picture": (3, height, width)}
            yield _batched(one, one, self.buckets.max_batch)

    def _vae_decoder(self) -> Iterator[Profile]:
        scale = self.facts.vae_scale
        for width, height in self.buckets.sizes:
            one: Shapes = {"latents": (self.facts.latent_depth, height // scale, width // scale)}
            yield _batched(one, one, self.buckets.max_batch)

    def _face(self, spec: ModelSpec) -> Profile:
        side = self.detection_size
        fixed = {FACE_DETECTOR.name: {"input": (1, 3, side, side)}} | {
            FACE_SWAPPER.name: {"target": (1, 3, 128, 128), "source": (1, 512)}
        }
        if spec.name in fixed:
            return Profile(*[fixed[spec.name]] * 3)
        if spec not in (FACE_RECOGNIZER, FACE_VERIFIER):
            raise ValueError(f"{spec.name} has no profile")
        return _batched({"input": CROP}, {"input": CROP}, MAX_RECOGNIZER_BATCH)


def _batched(least: Shapes, largest: Shapes, most: int) -> Profile:
    """A profile of 1 to ``most`` items, tuned for ``most``: that is how candidates come."""

    def with_batch(shapes: Shapes, batch: int) -> Shapes:
        return {name: (batch, *shape) for name, shape in shapes.items()}

    return Profile(with_batch(least, 1), with_batch(largest, most), with_batch(largest, most))

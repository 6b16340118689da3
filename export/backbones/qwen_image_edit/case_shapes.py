"""Shapes of the parity cases: free ones where a network takes any, else of the buckets that its engine is built for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from eacps.tensors import VAE_ENCODER, ModelSpec
from export.backbones.qwen_image_edit import denoiser, vae
from export.backbones.qwen_image_edit.denoiser import DenoiserShape
from export.backbones.qwen_image_edit.shapes import JUDGED_PICTURES, QwenShapes
from export.backbones.qwen_image_edit.text_encoder import TextShape, shapes_for
from export.backbones.qwen_image_edit.vae import VaeShape
from export.buckets import Bucket


class CaseShapes:
    """Chooses the shapes in which networks are compared with their originals.

    Args:
        maker: Knows the buckets and their shapes.
        fixed: Whether networks take those alone.
    """

    def __init__(self, maker: QwenShapes, *, fixed: bool) -> None:
        self._maker, self._buckets, self._fixed = maker, maker.buckets, fixed

    def denoiser(self) -> Sequence[DenoiserShape]:
        """Of the buckets: the first of each size, the longest text, and the largest batch of the smallest one."""
        if not self._fixed:
            return denoiser.SHAPES
        first = {bucket.size: bucket for bucket in reversed(list(self._buckets))}
        smallest = min(first.values(), key=self._maker.image_tokens)
        last = [bucket for bucket in self._buckets if bucket.size == smallest.size][-1]

        def shape(bucket: Bucket, batch: int) -> DenoiserShape:
            grids = self._maker.denoiser_grids(bucket.size, bucket.pictures)
            return DenoiserShape(batch, bucket.text_tokens, grids, padding=7)

        ones = (shape(bucket, 1) for bucket in (*first.values(), last))
        return (*ones, shape(smallest, self._buckets.max_batch))

    def denoiser_tokens(self) -> int:
        """Tokens, times batch, of the largest case of a bucket; 0 where shapes are free, and small."""
        shapes = self.denoiser() if self._fixed else ()
        sizes = (shape.batch * (shape.text_tokens + sum(map(prod, shape.grids))) for shape in shapes)
        return max(sizes, default=0)

    def text_encoder(self) -> Sequence[TextShape]:
        """Of every grid of condition pictures."""
        return self._texts(self._buckets.max_pictures)

    def judge(self) -> Sequence[TextShape]:
        """Of every grid of judged pictures."""
        return self._texts(JUDGED_PICTURES)

    def _texts(self, most: int) -> Sequence[TextShape]:
        """Of every grid, with up to ``most`` pictures."""
        grids = sorted({self._maker.vision_grid(size) for size in self._buckets.sizes})
        shapes = [shape for grid in grids for shape in shapes_for(grid)]
        shapes = [shape for shape in shapes if shape.pictures <= most]
        if not self._fixed:
            return shapes
        return [replace(shape, batch=min(shape.batch, self._buckets.max_batch)) for shape in shapes]

    def vae(self, spec: ModelSpec) -> Sequence[VaeShape]:
        """Of every size, in cells of the latents."""
        if not self._fixed:
            return vae.SHAPES
        scale = self._maker.config.vae_scale if spec is VAE_ENCODER else 1
        shapes = [next(iter(profile.usual.values())) for profile in self._maker.profiles(spec)]
        return [(1, shape[2] // scale, shape[3] // scale) for shape in shapes]

"""From uint8 pictures to what Qwen2.5-VL and the VAE take, as QwenImageEditPlusPipeline prepares them.

Resizing is Pillow's own, as in the libraries, so the same pixels come out; the arithmetic follows theirs in precision.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from eacps.models.backbones.qwen_image_edit.config import VisionConfig
from eacps.models.backbones.qwen_image_edit.vision_tables import vision_rope, vision_windows
from eacps.models.pixels import signed

_CONDITION_MULTIPLE = 32


@dataclass(frozen=True)
class Patches:
    """A picture for Qwen2.5-VL.

    Args:
        values: FP32 [rows * columns, values per patch], the patches of each merged token together.
        rows, columns: In patches.
        vision: How it was cut.
    """

    values: torch.Tensor
    rows: int
    columns: int
    vision: VisionConfig

    @property
    def merged_grid(self) -> tuple[int, int]:
        """(rows, columns) in tokens of the language model."""
        return self.rows // self.vision.merge_size, self.columns // self.vision.merge_size

    @property
    def rope(self) -> torch.Tensor:
        """See `vision_rope`."""
        return vision_rope(self.rows, self.columns, self.vision)

    @property
    def windows(self) -> torch.Tensor:
        """See `vision_windows`."""
        return vision_windows(self.rows, self.columns, self.vision)


def fitted_size(area: int, height: int, width: int) -> tuple[int, int]:
    """(height, width) of about ``area`` pixels in the ratio of ``height`` to ``width``, multiples of 32."""
    ratio = width / height
    fitted_width = math.sqrt(area * ratio)
    fitted_height = fitted_width / ratio
    return round(fitted_height / _CONDITION_MULTIPLE) * 32, round(fitted_width / _CONDITION_MULTIPLE) * 32


def vae_picture(picture: NDArray[np.uint8], size: tuple[int, int]) -> torch.Tensor:
    """Fit an RGB picture [H, W, 3] to ``size`` (height, width): FP32 [3, height, width] in [-1, 1]."""
    return signed(_resized(picture, size, Image.Resampling.LANCZOS))


def condition_grid(height: int, width: int, area: int, vision: VisionConfig) -> tuple[int, int]:
    """(rows, columns) in patches of a picture of ``height`` x ``width`` pixels, as `condition_patches` cuts it."""
    rows, columns = _vision_size(*fitted_size(area, height, width), vision)
    return rows // vision.patch_size, columns // vision.patch_size


def condition_patches(picture: NDArray[np.uint8], area: int, vision: VisionConfig) -> Patches:
    """Fit an RGB picture [H, W, 3] to ``area`` pixels as the pipeline does, then cut it as Qwen2.5-VL wants it."""
    fitted = _resized(picture, fitted_size(area, picture.shape[0], picture.shape[1]), Image.Resampling.LANCZOS)
    height, width = fitted.shape[:2]
    fitted = _resized(fitted, _vision_size(height, width, vision), Image.Resampling.BICUBIC)
    scaled = (fitted.astype(np.float64) * (1 / 255)).astype(np.float32)
    normal = (scaled - np.array(vision.image_mean, np.float32)) / np.array(vision.image_std, np.float32)
    rows, columns = (side // vision.patch_size for side in fitted.shape[:2])
    return Patches(_cut(torch.from_numpy(normal), vision), rows, columns, vision)


def _resized(picture: NDArray[np.uint8], size: tuple[int, int], resample: Image.Resampling) -> NDArray[np.uint8]:
    if picture.shape[:2] == size:
        return picture
    height, width = size
    return np.asarray(Image.fromarray(picture).resize((width, height), resample=resample))


def _vision_size(height: int, width: int, vision: VisionConfig) -> tuple[int, int]:
    """(height, width) in whole merged tokens, within the bounds on the area."""
    token = vision.patch_size * vision.merge_size
    rounded = round(height / token) * token, round(width / token) * token
    if rounded[0] * rounded[1] > vision.max_pixels:
        shrink = math.sqrt(height * width / vision.max_pixels)
        return max(token, _floor(height / shrink, token)), max(token, _floor(width / shrink, token))
    if rounded[0] * rounded[1] < vision.min_pixels:
        grow = math.sqrt(vision.min_pixels / (height * width))
        return math.ceil(height * grow / token) * token, math.ceil(width * grow / token) * token
    return rounded


def _floor(length: float, token: int) -> int:
    return math.floor(length / token) * token


def _cut(picture: torch.Tensor, vision: VisionConfig) -> torch.Tensor:
    """[H, W, 3] to [patches, 3 * frames * patch * patch], channels first within a patch."""
    height, width, channels = picture.shape
    patch, merge = vision.patch_size, vision.merge_size
    tokens = picture.reshape(height // patch // merge, merge, patch, width // patch // merge, merge, patch, channels)
    ordered = tokens.permute(0, 3, 1, 4, 6, 2, 5)  # token row, token column, row, column, channel, y, x
    frames = ordered.unsqueeze(5).expand(*ordered.shape[:5], vision.temporal_patch_size, patch, patch)
    return frames.reshape((height // patch) * (width // patch), -1).contiguous()

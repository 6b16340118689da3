"""An edit mask, for the latents and for the delivered pixels. White may change, black must not."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate, max_pool2d

_WHITE = 128  # grays count as the nearer of black and white, as the inpainting pipeline's binarization has it
# The seam between scene and edit is as many pixels wide as this part of the shorter side: 2 at 128, 16 at 1024.
_FEATHER_SHARE = 64
_MIN_FEATHER = 2


def nearest_cells(mask: NDArray[np.uint8], height: int, width: int) -> torch.Tensor:
    """Return which of ``height`` x ``width`` latent cells may change: those whose nearest pixel of [H, W] is white.

    Returns:
        FP32 [1, 1, height, width] of 0 and 1.
    """
    return interpolate(binary(mask), size=(height, width))


def feathered(mask: NDArray[np.uint8]) -> torch.Tensor:
    """How much of the edit to deliver, per pixel: FP32 [H, W], 0 outside the mask, rising inwards to 1.

    The rise takes a few pixels and lies wholly inside the mask; the picture's own border is no edge.
    """
    inside = binary(mask)
    width = max(_MIN_FEATHER, min(mask.shape) // _FEATHER_SHARE)
    depth = torch.zeros_like(inside)
    for _ in range(width):
        depth += inside
        inside = 1.0 - max_pool2d(1.0 - inside, kernel_size=3, stride=1, padding=1)
    share: torch.Tensor = depth[0, 0] / width
    return share


def composite(scene: NDArray[np.uint8], edited: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Lay edited pictures over the scene.

    Args:
        scene: [H, W, 3].
        edited: UINT8 [N, H, W, 3].
        weight: FP32 [H, W] in [0, 1]: 0 gives the scene's very pixels, 1 the edited ones.

    Returns:
        UINT8 [N, H, W, 3].
    """
    under = torch.from_numpy(scene.astype(np.float32))
    mixed = under + weight[..., None] * (edited.to(torch.float32) - under)
    return mixed.round().to(torch.uint8)


def binary(mask: NDArray[np.uint8]) -> torch.Tensor:
    """FP32 [1, 1, H, W]: 1 where a mask [H, W] is white, or nearer to it than to black."""
    return torch.from_numpy((mask >= _WHITE).astype(np.float32))[None, None]

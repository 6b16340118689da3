"""An edit mask, for the latents and for the delivered pixels. White may change, black must not."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate, max_pool2d

from eacps.models.latents import pack

_WHITE = 128  # greys count as the nearer of black and white, as the inpainting pipeline's binarisation has it
# The seam between scene and edit is as many pixels wide as this part of the shorter side: 2 at 128, 16 at 1024.
_FEATHER_SHARE = 64
_MIN_FEATHER = 2


def free_latents(mask: NDArray[np.uint8], vae_scale: int, depth: int) -> torch.Tensor:
    """Say which packed latents may change, as QwenImageEditInpaintPipeline decides it (nearest pixel).

    Args:
        mask: [H, W]; both multiples of ``2 vae_scale``.
        vae_scale: Pixels per latent cell.
        depth: Latent channels.

    Returns:
        FP32 [1, tokens, 4 depth] of 0 and 1.
    """
    height, width = mask.shape
    cells = interpolate(_binary(mask), size=(height // vae_scale, width // vae_scale))
    return pack(cells.expand(1, depth, -1, -1))


def feathered(mask: NDArray[np.uint8]) -> torch.Tensor:
    """How much of the edit to deliver, per pixel: FP32 [H, W], 0 outside the mask, rising inwards to 1.

    The rise takes a few pixels and lies wholly inside the mask; the picture's own border is no edge.
    """
    inside = _binary(mask)
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


def _binary(mask: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy((mask >= _WHITE).astype(np.float32))[None, None]

"""Pictures as pixels and as what autoencoders take and give, with the arithmetic of diffusers' VaeImageProcessor."""

import numpy as np
import torch
from numpy.typing import NDArray


def signed(picture: NDArray[np.uint8]) -> torch.Tensor:
    """RGB [H, W, 3] to FP32 [3, H, W] in [-1, 1]."""
    values = torch.from_numpy(picture.astype(np.float32) / 255.0)
    return (2.0 * values - 1.0).permute(2, 0, 1).contiguous()


def to_uint8(decoded: torch.Tensor) -> torch.Tensor:
    """Pictures [N, 3, H, W], nominally in [-1, 1], to uint8 [N, H, W, 3], rounded as VaeImageProcessor does."""
    unit = (decoded * 0.5 + 0.5).clamp(0, 1)
    return (unit * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()

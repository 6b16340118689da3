"""Face swapper: aligned crop of 128x128 and a 512-latent to the same crop with the latent's identity.

The latent is the character's embedding, normalized, times ``emap``, normalized again: `insightface`'s `INSwapper`
does that product on the host, with the matrix it finds as the last initializer of the ONNX graph.
"""

from typing import Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from studio_mini.faces.alignment import SWAPPER_SIZE

LATENT: Final = 512
LATENT_GAIN: Final = 8.0  # the latent's length is 1, spread over some sixty traits: this makes each about 1
STYLE: Final = 192
OVAL: Final = ((64, 74), (45, 48))  # middle and half axes of what is drawn anew, pixels of the aligned crop
SEAM: Final = 2.0  # standard deviation of its edge's blur, pixels
WIDTHS: Final = (16, 32, 64, 112)
MIDDLE_BLOCKS: Final = 2


class _Modulated(nn.Module):
    """Convolution whose normalized features are scaled and shifted by the style (AdaIN, Huang & Belongie 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, width, 3, 1, 1)
        self.norm = nn.InstanceNorm2d(width)
        self.modulation = nn.Linear(STYLE, 2 * width)

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.modulation(style)[:, :, None, None].chunk(2, dim=1)
        return F.silu(self.norm(self.convolution(features)) * (1 + scale) + shift)


class _MiddleBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _Modulated(width), _Modulated(width)

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        return features + self.second(self.first(features, style), style)


class _Up(nn.Module):
    """Twice the size, plus what the encoder saw at that size, then modulated."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(inputs, outputs, 1)
        self.skip = nn.Conv2d(outputs, outputs, 1)
        self.modulated = _Modulated(outputs)

    def forward(self, features: Tensor, skipped: Tensor, style: Tensor) -> Tensor:
        grown = F.interpolate(self.narrow(features), scale_factor=2.0, mode="nearest")
        return grown + self.modulated(grown + self.skip(skipped), style)


def _face_oval() -> Tensor:
    """[128, 128], 1 from forehead to chin and cheek to cheek in an aligned crop, 0 elsewhere, with a soft seam."""
    oval = np.zeros((SWAPPER_SIZE, SWAPPER_SIZE), np.float32)
    cv2.ellipse(oval, *OVAL, 0, 0, 360, 1.0, -1)
    return torch.from_numpy(cv2.GaussianBlur(oval, (0, 0), SEAM))


class Swapper(nn.Module):
    """A U-Net on half-size pixel blocks that draws the face anew inside a fixed oval of the aligned crop.

    Skin and beard change hands with the face, hair does not; outside the oval the crop stays as it is.
    """

    oval: Tensor

    def __init__(self) -> None:
        super().__init__()
        at64, at32, at16, at8 = WIDTHS
        self.style = nn.Sequential(nn.Linear(LATENT, STYLE), nn.SiLU(), nn.Linear(STYLE, STYLE), nn.SiLU())
        self.colour = nn.Linear(STYLE, 3)  # of the skin, learned first; the checkpoint names its weights so
        self.enter = nn.Conv2d(12, at64, 3, 1, 1)
        self.down32 = nn.Conv2d(at64, at32, 3, 2, 1)
        self.down16 = nn.Conv2d(at32, at16, 3, 2, 1)
        self.down8 = nn.Conv2d(at16, at8, 3, 2, 1)
        self.middle = nn.ModuleList(_MiddleBlock(at8) for _ in range(MIDDLE_BLOCKS))
        self.up16, self.up32, self.up64 = _Up(at8, at16), _Up(at16, at32), _Up(at32, at64)
        self.leave = nn.Conv2d(at64, 12, 3, 1, 1)
        self.register_buffer("oval", _face_oval())

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        """Swap.

        Args:
            target: [B, 3, 128, 128] aligned crop, RGB in [0, 1].
            source: [B, 512] latent, unit norm.

        Returns:
            [B, 3, 128, 128], nominally in [0, 1] (not clamped: training needs the gradient).
        """
        style = self.style(source * LATENT_GAIN)
        at64 = F.silu(self.enter(F.pixel_unshuffle(target - 0.5, 2)))
        at32 = F.silu(self.down32(at64))
        at16 = F.silu(self.down16(at32))
        features = F.silu(self.down8(at16))
        for block in self.middle:
            features = block(features, style)
        features = self.up16(features, at16, style)
        features = self.up32(features, at32, style)
        features = self.up64(features, at64, style)
        drawn = F.pixel_shuffle(self.leave(features), 2) + 0.5 + self.colour(style)[:, :, None, None]
        return target + self.oval * (drawn - target)


class SwapperGraph(nn.Module):
    """The swapper as InsightFace's ONNX file has it: one crop, result clamped to [0, 1]."""

    def __init__(self, network: Swapper) -> None:
        super().__init__()
        self.network = network

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        return self.network(target, source).clamp(0.0, 1.0)


def latents(embeddings: Tensor, emap: Tensor) -> Tensor:
    """[B, 512] embeddings to the unit latents that `INSwapper` computes from them with ``emap`` [512, 512]."""
    return F.normalize(F.normalize(embeddings) @ emap)


def trait_map(directions: Tensor) -> Tensor:
    """An ``emap`` that turns an embedding into its traits.

    Args:
        directions: [T, 512], T at most 512: the direction of each trait in the space of embeddings.

    Returns:
        [512, 512]; columns beyond the traits are zero.
    """
    return F.pad(directions.T, (0, LATENT - len(directions))).contiguous()

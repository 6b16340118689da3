"""Face swapper: aligned crop of 128x128 and a 512-latent to the same crop with the latent's identity.

The latent is the character's embedding, normalised, times ``emap``, normalised again: `insightface`'s `INSwapper`
does that product on the host, with the matrix it finds as the last initializer of the ONNX graph.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LATENT: Final = 512
STYLE: Final = 192
WIDTHS: Final = (16, 32, 64, 112)
MIDDLE_BLOCKS: Final = 2


class _Modulated(nn.Module):
    """Convolution whose normalised features are scaled and shifted by the style (AdaIN, Huang & Belongie 2017)."""

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


class Swapper(nn.Module):
    """A U-Net on half-size pixel blocks; it predicts the change to the crop, not the crop."""

    def __init__(self) -> None:
        super().__init__()
        at64, at32, at16, at8 = WIDTHS
        self.style = nn.Sequential(nn.Linear(LATENT, STYLE), nn.SiLU(), nn.Linear(STYLE, STYLE), nn.SiLU())
        self.enter = nn.Conv2d(12, at64, 3, 1, 1)
        self.down32 = nn.Conv2d(at64, at32, 3, 2, 1)
        self.down16 = nn.Conv2d(at32, at16, 3, 2, 1)
        self.down8 = nn.Conv2d(at16, at8, 3, 2, 1)
        self.middle = nn.ModuleList(_MiddleBlock(at8) for _ in range(MIDDLE_BLOCKS))
        self.up16, self.up32, self.up64 = _Up(at8, at16), _Up(at16, at32), _Up(at32, at64)
        self.leave = nn.Conv2d(at64, 12, 3, 1, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        """Swap.

        Args:
            target: [B, 3, 128, 128] aligned crop, RGB in [0, 1].
            source: [B, 512] latent, unit norm.

        Returns:
            [B, 3, 128, 128], nominally in [0, 1] (not clamped: training needs the gradient).
        """
        style = self.style(source * LATENT**0.5)
        at64 = F.silu(self.enter(F.pixel_unshuffle(target - 0.5, 2)))
        at32 = F.silu(self.down32(at64))
        at16 = F.silu(self.down16(at32))
        features = F.silu(self.down8(at16))
        for block in self.middle:
            features = block(features, style)
        features = self.up16(features, at16, style)
        features = self.up32(features, at32, style)
        features = self.up64(features, at64, style)
        return target + F.pixel_shuffle(self.leave(features), 2)


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


def whitening(embeddings: Tensor, *, floor: float = 0.05) -> Tensor:
    """A map that spreads the directions in which identities differ little, for ``emap``.

    Args:
        embeddings: [N, 512] of many identities, any norm.
        floor: Smallest standard deviation that is spread to one, as a part of the largest.

    Returns:
        [512, 512], symmetric.
    """
    unit = F.normalize(embeddings)
    _, deviations, directions = torch.linalg.svd(unit - unit.mean(dim=0), full_matrices=False)
    gain = 1 / deviations.clamp(min=floor * deviations[0].item())
    return (directions.T * (gain / gain.max())) @ directions

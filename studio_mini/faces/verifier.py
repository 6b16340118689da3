"""Held-out face verifier: aligned crop of 112x112 to an embedding of 256.

Another family than the recognizer on purpose (inverted bottlenecks with depthwise convolutions against plain residual
blocks, an additive cosine margin against an angular one): where both agree, it is the face and not the network.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VERIFIER_EMBEDDING: Final = 256
EXPANSION: Final = 2
# Width and stride of each inverted bottleneck, after a stem of 16 channels at 56x56 (Chen et al. 2018, scaled down).
BOTTLENECKS: Final = ((24, 2), (24, 1), (48, 2), (48, 1), (48, 1), (96, 2), (96, 1))
STEM: Final = 16
HEAD: Final = 256
COSINE_MARGIN: Final = 0.3  # subtracted from the right class's cosine (Wang et al. 2018)
COSINE_SCALE: Final = 28.0


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        wide = EXPANSION * inputs
        self.keeps = stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            nn.Conv2d(inputs, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.PReLU(wide),
            nn.Conv2d(wide, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features) if self.keeps else self.body(features)


class Verifier(nn.Module):
    """[B, 3, 112, 112] RGB in [-1, 1] to [B, 256], not normalized."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, STEM, 3, 2, 1, bias=False), nn.BatchNorm2d(STEM), nn.PReLU(STEM))
        blocks, inputs = [], STEM
        for outputs, stride in BOTTLENECKS:
            blocks.append(_Bottleneck(inputs, outputs, stride))
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.widen = nn.Sequential(nn.Conv2d(inputs, HEAD, 1, bias=False), nn.BatchNorm2d(HEAD), nn.PReLU(HEAD))
        self.pool = nn.Sequential(nn.Conv2d(HEAD, HEAD, 7, groups=HEAD, bias=False), nn.BatchNorm2d(HEAD))
        self.project = nn.Linear(HEAD, VERIFIER_EMBEDDING, bias=False)
        self.norm = nn.BatchNorm1d(VERIFIER_EMBEDDING)

    def forward(self, crops: Tensor) -> Tensor:
        pooled = self.pool(self.widen(self.blocks(self.stem(crops)))).flatten(1)
        return self.norm(self.project(pooled))


class CosFaceHead(nn.Module):
    """Cosines to one center for each training identity, less the margin on the right one."""

    def __init__(self, identities: int) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.randn(identities, VERIFIER_EMBEDDING) * 0.05)

    def forward(self, embeddings: Tensor, identity: Tensor, margin: float = COSINE_MARGIN) -> Tensor:
        """Cross entropy of [B, 256] embeddings against identity numbers [B]."""
        cosine = F.linear(F.normalize(embeddings), F.normalize(self.centers))
        return F.cross_entropy(COSINE_SCALE * (cosine - margin * F.one_hot(identity, len(self.centers))), identity)

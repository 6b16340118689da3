"""Face recognizer: aligned crop of 112x112 to an embedding of 512, trained with ArcFace's angular margin."""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EMBEDDING: Final = 512
WIDTHS: Final = (16, 32, 64, 128)
MARGIN: Final = 0.35  # radians added to the angle of the right class (Deng et al. 2019)
SCALE: Final = 32.0


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


def _down(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class Recognizer(nn.Module):
    """[B, 3, 112, 112] RGB in [-1, 1] to [B, 512] (not normalized, as in InsightFace's packs)."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third, last = WIDTHS
        self.body = nn.Sequential(
            _down(3, first),
            _down(first, second),
            _down(second, third),
            _Residual(third),
            _down(third, last),
            _Residual(last),
        )
        # A learned weight for each place of the 7x7 grid: where a feature lies says as much as that it is there.
        self.pool = nn.Conv2d(last, 2 * last, 7, groups=last, bias=False)
        self.pool_norm = nn.BatchNorm1d(2 * last)
        self.project = nn.Linear(2 * last, EMBEDDING, bias=False)
        self.norm = nn.BatchNorm1d(EMBEDDING)

    def forward(self, crops: Tensor) -> Tensor:
        pooled = self.pool_norm(self.pool(self.body(crops)).flatten(1))
        return self.norm(self.project(pooled))


class ArcFaceHead(nn.Module):
    """Cosines to one center for each training identity, with the margin on the right one."""

    def __init__(self, identities: int) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.randn(identities, EMBEDDING) * 0.05)

    def forward(self, embeddings: Tensor, identity: Tensor, margin: float = MARGIN) -> Tensor:
        """Cross entropy of [B, 512] embeddings against identity numbers [B]."""
        cosine = F.linear(F.normalize(embeddings), F.normalize(self.centers)).clamp(-0.999999, 0.999999)
        right = cosine.gather(1, identity[:, None])
        pushed = torch.cos(torch.acos(right) + margin)
        logits = cosine.scatter(1, identity[:, None], pushed)
        return F.cross_entropy(SCALE * logits, identity)

"""A small SCRFD: face boxes and five landmarks at strides 8, 16 and 32, two anchors a place.

Boxes and landmarks are distances from the anchor's center in units of the stride, as `insightface.model_zoo.SCRFD`
decodes them. The two anchors of a place differ in the face sizes they answer for: with three strides that makes six
bands of half an octave to an octave each, counted in pixels of the network's input.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

STRIDES: Final = (8, 16, 32)
ANCHORS: Final = 2
# Upper ends of the six size bands (square root of the box area, input pixels); the last has no end.
SIZE_BANDS: Final = (22.0, 32.0, 46.0, 64.0, 88.0)
BAND_MARGIN: Final = 1.2  # faces this factor outside a band still count as its own: neighbors share the edge cases
CENTER_RADIUS: Final = 1.0  # of a stride: places this near the face's center answer for it
IGNORE_RADIUS: Final = 1.8  # places further out than the above, but not this far, are neither face nor background
WIDTHS: Final = (16, 32, 64, 96, 128)
NECK_WIDTH: Final = 48


def _convolution(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class _Head(nn.Module):
    """Scores, box distances and landmark offsets of one stride."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = _convolution(NECK_WIDTH, NECK_WIDTH)
        self.score = nn.Conv2d(NECK_WIDTH, ANCHORS, 1)
        self.box = nn.Conv2d(NECK_WIDTH, ANCHORS * 4, 1)
        self.landmarks = nn.Conv2d(NECK_WIDTH, ANCHORS * 10, 1)
        with torch.no_grad():
            for head, start in ((self.score, -4.0), (self.box, 2.0)):  # most anchors hold no face: start there
                head.bias = nn.Parameter(torch.full((head.out_channels,), start))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.trunk(features)
        return _rows(self.score(features), 1), _rows(self.box(features), 4), _rows(self.landmarks(features), 10)


def _rows(grid: Tensor, values: int) -> Tensor:
    """[B, anchors * values, H, W] to [B, H * W * anchors, values], InsightFace's order of anchors."""
    batch = grid.shape[0]
    return grid.permute(0, 2, 3, 1).reshape(batch, -1, values)


class Detector(nn.Module):
    """Picture to scores (logits), boxes and landmarks of every anchor at each stride."""

    def __init__(self) -> None:
        super().__init__()
        stem, low, at8, at16, at32 = WIDTHS
        self.stem = nn.Sequential(
            _convolution(3, stem, stride=2), _convolution(stem, low, stride=2), _convolution(low, low)
        )
        self.to8 = nn.Sequential(_convolution(low, at8, stride=2), _convolution(at8, at8))
        self.to16 = nn.Sequential(_convolution(at8, at16, stride=2), _convolution(at16, at16))
        self.to32 = nn.Sequential(_convolution(at16, at32, stride=2), _convolution(at32, at32))
        self.lateral = nn.ModuleList(nn.Conv2d(width, NECK_WIDTH, 1) for width in (at8, at16, at32))
        self.heads = nn.ModuleList(_Head() for _ in STRIDES)

    def forward(self, picture: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Run the network.

        Args:
            picture: [B, 3, H, W], RGB, (value - 127.5) / 128; H and W multiples of 32.

        Returns:
            Score logits [B, A, 1], distances [B, A, 4] (left, top, right, bottom; strides) and landmark offsets
            [B, A, 10] (strides), each a list over the strides, A = H * W * 2 / stride^2.
        """
        at8 = self.to8(self.stem(picture))
        at16 = self.to16(at8)
        at32 = self.to32(at16)
        fine, middle, coarse = (
            layer(features) for layer, features in zip(self.lateral, (at8, at16, at32), strict=True)
        )
        middle = middle + F.interpolate(coarse, scale_factor=2.0, mode="nearest")
        fine = fine + F.interpolate(middle, scale_factor=2.0, mode="nearest")
        outputs = [head(level) for head, level in zip(self.heads, (fine, middle, coarse), strict=True)]
        scores, boxes, landmarks = zip(*outputs, strict=True)
        return list(scores), list(boxes), list(landmarks)


class DetectorGraph(nn.Module):
    """The detector as InsightFace's ONNX files have it: batch 1, sigmoid inside, nine outputs without batch axis."""

    def __init__(self, network: Detector) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        scores, boxes, landmarks = self.network(picture)
        return tuple(
            [torch.sigmoid(score[0]) for score in scores]
            + [box[0] for box in boxes]
            + [points[0] for points in landmarks]
        )


@dataclass(frozen=True)
class Targets:
    """What every anchor of a batch should say, all strides concatenated (A anchors in all).

    Attributes:
        centers: [A, 2] anchor centers, pixels. strides: [A] stride of each anchor, pixels.
        label: [B, A] 1 face, 0 background, -1 does not count.
        boxes: [B, A, 4] xyxy pixels; landmarks: [B, A, 10] pixels; both only where label is 1.
    """

    centers: Tensor
    strides: Tensor
    label: Tensor
    boxes: Tensor
    landmarks: Tensor


def anchors(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Centers [A, 2], strides [A] and size bands [A] (0 to 5) of all anchors, in the order of the outputs."""
    centers, strides, bands = [], [], []
    for level, stride in enumerate(STRIDES):
        y, x = np.mgrid[: height // stride, : width // stride] * stride
        places = np.repeat(np.stack([x, y], -1).reshape(-1, 2), ANCHORS, axis=0)
        centers.append(places.astype(np.float32))
        strides.append(np.full(len(places), stride, np.float32))
        bands.append(ANCHORS * level + np.arange(len(places)) % ANCHORS)
    return np.concatenate(centers), np.concatenate(strides), np.concatenate(bands)


def assign(
    faces: Sequence[tuple[NDArray[np.floating], NDArray[np.floating]]], height: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Assign each anchor of one picture its target.

    Args:
        faces: (box [4] xyxy pixels, landmarks [5, 2] pixels) of each face.
        height, width: Size of the network's input, pixels.

    Returns:
        label [A], boxes [A, 4], landmarks [A, 10]; see `Targets`.
    """
    centers, strides, bands = anchors(height, width)
    label = np.zeros(len(centers), np.int64)
    boxes, landmarks = np.zeros((len(centers), 4), np.float32), np.zeros((len(centers), 10), np.float32)
    ends = np.array([0.0, *SIZE_BANDS, np.inf])
    for box, points in faces:
        size = float(np.sqrt((box[2] - box[0]) * (box[3] - box[1])))
        fits = (size >= ends[bands] / BAND_MARGIN) & (size < ends[bands + 1] * BAND_MARGIN)
        near = (size >= ends[bands] / BAND_MARGIN**2) & (size < ends[bands + 1] * BAND_MARGIN**2)
        middle = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
        distance = np.abs(centers - middle).max(axis=1) / strides
        face = fits & (distance <= CENTER_RADIUS)
        label[near & (distance <= IGNORE_RADIUS) & (label == 0)] = -1
        label[face], boxes[face], landmarks[face] = 1, box, np.asarray(points).reshape(10)
    return label, boxes, landmarks


def loss(outputs: tuple[list[Tensor], list[Tensor], list[Tensor]], targets: Targets) -> Tensor:
    """Focal loss toward the box overlap (quality focal loss, Li et al. 2020), overlap loss, landmark distance."""
    scores, boxes, landmarks = (torch.cat(part, dim=1) for part in outputs)
    face = targets.label == 1
    stride = targets.strides[None, :, None]
    centers = targets.centers[None]
    predicted = torch.cat([centers - boxes[..., :2] * stride, centers + boxes[..., 2:] * stride], dim=-1)
    overlap = _overlap(predicted[face], targets.boxes[face])
    quality = torch.zeros_like(scores[..., 0])
    quality[face] = overlap.detach().clamp(0, 1)
    logits = scores[..., 0]
    focus = (torch.sigmoid(logits) - quality).abs().square()
    score_loss = focus * F.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    score_loss = score_loss[targets.label >= 0].sum()
    points = centers.repeat(1, 1, 5) + landmarks * stride
    size = (targets.boxes[face][:, 2] - targets.boxes[face][:, 0]).clamp(min=1)[:, None]
    point_loss = F.smooth_l1_loss(points[face] / size, targets.landmarks[face] / size, beta=0.02, reduction="none")
    count = face.sum().clamp(min=1)
    return (score_loss + 2 * (1 - overlap).sum() + 4 * point_loss.sum()) / count


def _overlap(predicted: Tensor, truth: Tensor) -> Tensor:
    """Generalized intersection over union (Rezatofighi et al. 2019) of [N, 4] xyxy boxes, row by row."""
    low, high = torch.maximum(predicted[:, :2], truth[:, :2]), torch.minimum(predicted[:, 2:], truth[:, 2:])
    both = (high - low).clamp(min=0).prod(dim=1)
    either = _area(predicted) + _area(truth) - both
    hull_low, hull_high = torch.minimum(predicted[:, :2], truth[:, :2]), torch.maximum(predicted[:, 2:], truth[:, 2:])
    hull = (hull_high - hull_low).clamp(min=0).prod(dim=1).clamp(min=1e-6)
    return both / either.clamp(min=1e-6) - (hull - either) / hull


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)

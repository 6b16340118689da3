"""Trains the detector on faces of all sizes, alone, in collages, and on pictures without any."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from studio_mini.faces.augmentation import degrade
from studio_mini.faces.detector import Detector, Targets, anchors, assign, loss
from studio_mini.faces.pictures import Face, faceless, mirror, place_face
from studio_mini.train.faces_loop import TimedLoop
from studio_mini.train.memory_format import channels_last
from studio_mini.world.pool import FacePool

BATCH: Final = 32
SIZE: Final = 128
PEAK_RATE: Final = 2e-3


def train_detector(pool: FacePool, state_file: Path, *, minutes: float, seed: int) -> Detector:
    """Train for ``minutes`` (counted through stops), or return the finished network of ``state_file``."""
    torch.manual_seed(seed)
    network = channels_last(Detector())
    loop = TimedLoop("detector", state_file, {"detector": network}, minutes=minutes, peak_rate=PEAK_RATE)
    for step in loop.steps():
        pictures, targets = detector_batch(pool, np.random.default_rng([seed, 1, step]))
        loop.descend(loss(network(pictures), targets))
    return network.eval()


def detector_batch(pool: FacePool, rng: np.random.Generator) -> tuple[Tensor, Targets]:
    """Draw a batch: pictures [B, 3, 128, 128] as the network takes them, and what it should say."""
    samples = [_sample(pool, rng) for _ in range(BATCH)]
    assigned = [assign(faces, SIZE, SIZE) for _, faces in samples]
    label, boxes, landmarks = (torch.from_numpy(np.stack(part)) for part in zip(*assigned, strict=True))
    centers, strides, _ = (torch.from_numpy(part) for part in anchors(SIZE, SIZE))
    pictures = torch.from_numpy(np.stack([picture for picture, _ in samples])).permute(0, 3, 1, 2)
    network_input = ((pictures.float() - 127.5) / 128).contiguous(memory_format=torch.channels_last)
    return network_input, Targets(centers, strides, label, boxes, landmarks)


def _sample(pool: FacePool, rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[Face]]:
    kind = rng.random()
    if kind < 0.14:
        return degrade(faceless(rng, SIZE), rng), []
    if kind < 0.32:
        picture, faces = _collage(pool, rng)
    else:
        picture, face = _drawn(pool, rng)
        if kind < 0.72:
            picture, face = _moved(picture, face, rng)
        faces = [face]
    return degrade(picture, rng), faces


def _drawn(pool: FacePool, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Face]:
    index = int(rng.integers(len(pool.pictures)))
    face = (np.array(pool.boxes[index]), np.array(pool.landmarks[index]))
    picture = np.array(pool.pictures[index])
    return mirror(picture, face) if rng.random() < 0.5 else (picture, face)


def _moved(picture: NDArray[np.uint8], face: Face, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Face]:
    """Anywhere in the picture, at 0.3 to 1.35 times its size, on black, a faceless picture, or its own border."""
    scale = float(np.exp(rng.uniform(np.log(0.3), np.log(1.35))))
    half = 0.45 * scale * float(face[0][2] - face[0][0])
    goal = rng.uniform(min(half, SIZE / 2), max(SIZE - half, SIZE / 2), 2)
    matrix = _about(face, goal, scale, float(rng.normal(0, 0.15)))
    canvas = np.zeros_like(picture) if rng.random() < 0.4 else faceless(rng, SIZE)
    return place_face(canvas, picture, face, matrix)


def _collage(pool: FacePool, rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[Face]]:
    """Two to four faces, one a quarter."""
    canvas, faces = faceless(rng, SIZE), []
    for quarter in rng.permutation(4)[: int(rng.integers(2, 5))]:
        picture, face = _drawn(pool, rng)
        goal = np.array([quarter % 2, quarter // 2]) * (SIZE / 2) + SIZE / 4 + rng.normal(0, 3, 2)
        matrix = _about(face, goal, float(rng.uniform(0.3, 0.55)), float(rng.normal(0, 0.1)))
        canvas, placed = place_face(canvas, _head(picture, face), face, matrix)
        faces.append(placed)
    return canvas, faces


def _head(picture: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
    """The picture without what lies right of and below the head, so that neighbors in a collage stay seen."""
    box = face[0]
    right, bottom = int(min(SIZE, box[2] + 14)), int(min(SIZE, box[3] + 10))
    return np.ascontiguousarray(picture[:bottom, :right])


def _about(face: Face, goal: NDArray[np.float64], scale: float, angle: float) -> NDArray[np.float64]:
    """[2, 3] matrix that takes the middle of the face's box to ``goal``, scaled and turned about it."""
    box = face[0]
    middle = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.concatenate([turn, (goal - turn @ middle)[:, None]], axis=1)

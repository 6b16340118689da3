"""Trains the swapper on pairs that the world can draw: two people in one situation, with one look."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from export.studio_mini.faces.alignment import RECOGNIZER_SIZE, SWAPPER_SHIFT, SWAPPER_SIZE, crop
from export.studio_mini.faces.pictures import SwapPairs
from export.studio_mini.faces.recognizer import Recognizer
from export.studio_mini.faces.swapper import Swapper, latents, whitening
from export.studio_mini.train.faces_loop import TimedLoop
from export.studio_mini.train.faces_recognizer import embed

BATCH: Final = 8
PEAK_RATE: Final = 1.5e-3
SEAM: Final = 2.0  # standard deviation of the blur of the seam between the new inner face and the old rest, pixels
LANDMARK_ERROR: Final = 1.5  # standard deviation of what the detector may be off, pixels of a 128-pixel picture
SAME_PERSON: Final = 0.08  # part of the samples that ask for no change: the scene's own person
IDENTITY_WEIGHT: Final = 0.1  # small: a network paid mainly by the recogniser learns to fool it


def _face_oval() -> NDArray[np.uint8]:
    """Forehead to chin and cheek to cheek in an aligned crop: skin and beard change hands, hair does not."""
    oval = np.zeros((SWAPPER_SIZE, SWAPPER_SIZE), np.uint8)
    return cv2.ellipse(oval, (64, 74), (45, 48), 0, 0, 360, 255, -1)


FACE_OVAL: Final = _face_oval()


def train_swapper(
    pairs: SwapPairs, recognizer: Recognizer, state_file: Path, *, minutes: float, seed: int
) -> tuple[Swapper, NDArray[np.float32]]:
    """Train for ``minutes`` (counted through stops); returns the network and its ``emap`` [512, 512]."""
    torch.manual_seed(seed)
    recognizer.requires_grad_(False)
    wanted = embed(recognizer, pairs.characters, pairs.character_landmarks).clone()
    own = embed(recognizer, pairs.scenes, pairs.scene_landmarks).clone()
    emap = whitening(wanted)
    network = Swapper().to(memory_format=torch.channels_last)
    loop = TimedLoop("swapper", state_file, {"swapper": network}, minutes=minutes, peak_rate=PEAK_RATE)
    for step in loop.steps():
        rng = np.random.default_rng([seed, 3, step])
        chosen = rng.integers(0, len(wanted), BATCH)
        same = rng.random(BATCH) < SAME_PERSON
        crops = [_sample(pairs, int(index), bool(stay), rng) for index, stay in zip(chosen, same, strict=True)]
        scene, truth = (_picture_batch(list(part)) for part in zip(*crops, strict=True))
        identity = torch.where(torch.from_numpy(same)[:, None], own[chosen], wanted[chosen])
        swapped = network(scene, latents(identity, emap))
        loop.descend(_loss(swapped, truth, identity, recognizer, torch.from_numpy(~same)))
    return network.eval(), emap.numpy()


def swap_truth(scene: NDArray[np.uint8], truth: NDArray[np.uint8], inner_face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The perfect swap, as aligned crops [128, 128, 3]: the character's face in the scene's hair, with a soft seam.

    Args:
        scene, truth: Crops of scene and truth.
        inner_face: Crop of the mask of brows, eyes and mouths of both, [128, 128], 255 inside.
    """
    share = cv2.GaussianBlur(np.maximum(inner_face, FACE_OVAL).astype(np.float32) / 255, (0, 0), SEAM)[..., None]
    return np.clip(scene * (1 - share) + truth * share + 0.5, 0, 255).astype(np.uint8)


def _sample(
    pairs: SwapPairs, index: int, same: bool, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Aligned crops of the scene and of what the swapper should make of it."""
    landmarks = pairs.scene_landmarks[index] + rng.normal(0, LANDMARK_ERROR * rng.random(), (5, 2))
    scene = crop(pairs.scenes[index], landmarks, SWAPPER_SIZE)
    if same:
        return scene, scene
    truth, inner = (crop(part[index], landmarks, SWAPPER_SIZE) for part in (pairs.truths, pairs.inner_faces))
    return scene, swap_truth(scene, truth, inner)


def _picture_batch(crops: list[NDArray[np.uint8]]) -> Tensor:
    stacked = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    return stacked.contiguous(memory_format=torch.channels_last)


def _loss(swapped: Tensor, truth: Tensor, identity: Tensor, recognizer: Recognizer, changed: Tensor) -> Tensor:
    """Absolute difference at full and quarter size and of the edges, and the distance to the wanted identity."""
    pixels = F.l1_loss(swapped, truth) + F.l1_loss(F.avg_pool2d(swapped, 4), F.avg_pool2d(truth, 4))
    edges = sum(F.l1_loss(swapped.diff(dim=axis), truth.diff(dim=axis)) for axis in (2, 3))
    seen = recognizer_crop(swapped[changed])
    distance = 1 - F.cosine_similarity(recognizer(seen), identity[changed])
    return 4 * pixels + 4 * edges + IDENTITY_WEIGHT * distance.mean()


def recognizer_crop(crops: Tensor) -> Tensor:
    """Cut the recogniser's input out of swapper crops [B, 3, 128, 128] in [0, 1]: same scale, shifted in x."""
    return crops[:, :, :RECOGNIZER_SIZE, SWAPPER_SHIFT : SWAPPER_SHIFT + RECOGNIZER_SIZE] * 2 - 1

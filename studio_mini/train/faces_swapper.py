"""Trains the swapper on pairs that the world can draw: two people in one situation, with one look."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from studio_mini.faces.alignment import RECOGNIZER_SIZE, SWAPPER_SHIFT, SWAPPER_SIZE, crop
from studio_mini.faces.pictures import SwapPairs
from studio_mini.faces.recognizer import Recognizer
from studio_mini.faces.swapper import Swapper, latents
from studio_mini.train.faces_loop import TimedLoop
from studio_mini.train.faces_recognizer import embed
from studio_mini.train.memory_format import channels_last

BATCH: Final = 8
PEAK_RATE: Final = 3e-3
LANDMARK_ERROR: Final = 1.5  # standard deviation of what the detector may be off, pixels of a 128-pixel picture
SAME_PERSON: Final = 0.08  # part of the samples that ask for no change: the scene's own person
IDENTITY_FROM: Final = 0.3  # part of the training from which the recognizer judges: before, there is no face to judge
IDENTITY_WEIGHT: Final = 0.6
# The recognizer sees each swap moved and re-lit at random: a network paid by it would else learn to fool it.
JUDGED_SHIFT: Final = 3  # pixels
JUDGED_GAIN: Final = 0.15
JUDGED_NOISE: Final = 0.04
WARM_RATE: Final = 0.5  # part of the peak rate when training goes on from a finished network


def train_swapper(
    pairs: SwapPairs,
    recognizer: Recognizer,
    emap: Tensor,
    state_file: Path,
    *,
    minutes: float,
    seed: int,
    warm: Swapper | None = None,
) -> Swapper:
    """Train for ``minutes`` (counted through stops).

    Args:
        pairs: What to learn from.
        recognizer: Trained; gives the embeddings and judges the swaps.
        emap: [512, 512], see `trait_map`.
        state_file, minutes, seed: As everywhere.
        warm: A finished network to go on from; None starts from nothing.
    """
    torch.manual_seed(seed)
    recognizer.requires_grad_(False)
    wanted = embed(recognizer, pairs.characters, pairs.character_landmarks).clone()
    own = embed(recognizer, pairs.scenes, pairs.scene_landmarks).clone()
    network = channels_last(warm or Swapper())
    rate, judged_from = (PEAK_RATE, IDENTITY_FROM) if warm is None else (WARM_RATE * PEAK_RATE, 0.0)
    loop = TimedLoop("swapper", state_file, {"swapper": network}, minutes=minutes, peak_rate=rate)
    for step in loop.steps():
        rng = np.random.default_rng([seed, 3, step])
        chosen = rng.integers(0, len(wanted), BATCH)
        same = rng.random(BATCH) < SAME_PERSON
        crops = [_sample(pairs, int(index), bool(stay), rng) for index, stay in zip(chosen, same, strict=True)]
        scene, truth = (_picture_batch(list(part)) for part in zip(*crops, strict=True))
        identity = torch.where(torch.from_numpy(same)[:, None], own[chosen], wanted[chosen])
        swapped = network(scene, latents(identity, emap))
        loss = _drawing_loss(swapped, _inside(truth, scene, network.oval))
        if loop.progress >= judged_from:
            seen = recognizer(recognizer_crop(_varied(swapped, rng)))
            loss = loss + IDENTITY_WEIGHT * (1 - F.cosine_similarity(seen, identity)).mean()
        loop.descend(loss)
    return network.eval()


def _inside(truth: Tensor, scene: Tensor, oval: Tensor) -> Tensor:
    """The truth within the oval, the scene without: what a perfect swapper gives."""
    return scene + oval * (truth - scene)


def _sample(
    pairs: SwapPairs, index: int, same: bool, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Aligned crops of the scene and of the person to be shown in it."""
    landmarks = pairs.scene_landmarks[index] + rng.normal(0, LANDMARK_ERROR * rng.random(), (5, 2))
    shown = pairs.scenes if same else pairs.truths
    return crop(pairs.scenes[index], landmarks, SWAPPER_SIZE), crop(shown[index], landmarks, SWAPPER_SIZE)


def _picture_batch(crops: list[NDArray[np.uint8]]) -> Tensor:
    stacked = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    return stacked.contiguous(memory_format=torch.channels_last)


def _drawing_loss(swapped: Tensor, truth: Tensor) -> Tensor:
    """Absolute difference at full and quarter size, and of the edges."""
    pixels = F.l1_loss(swapped, truth) + F.l1_loss(F.avg_pool2d(swapped, 4), F.avg_pool2d(truth, 4))
    edges = sum(F.l1_loss(swapped.diff(dim=axis), truth.diff(dim=axis)) for axis in (2, 3))
    return 8 * pixels + 2 * edges


def _varied(crops: Tensor, rng: np.random.Generator) -> Tensor:
    """Move crops [B, 3, 128, 128] by some pixels, change their light, add grain."""
    dx, dy = (int(value) for value in rng.integers(-JUDGED_SHIFT, JUDGED_SHIFT + 1, 2))
    gain = torch.from_numpy(rng.normal(1, JUDGED_GAIN, (len(crops), 1, 1, 1))).float()
    noise = torch.from_numpy(rng.standard_normal(crops.shape, dtype=np.float32))
    return crops.roll((dy, dx), dims=(2, 3)) * gain + JUDGED_NOISE * float(rng.random()) * noise


def recognizer_crop(crops: Tensor) -> Tensor:
    """Cut the recognizer's input out of swapper crops [B, 3, 128, 128] in [0, 1]: same scale, shifted in x."""
    return crops[:, :, :RECOGNIZER_SIZE, SWAPPER_SHIFT : SWAPPER_SHIFT + RECOGNIZER_SIZE] * 2 - 1

"""Trains the swapper on pairs that the world can draw: two people in one situation, with one look."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from export.studio_mini.faces.alignment import RECOGNIZER_SIZE, SWAPPER_SHIFT, SWAPPER_SIZE, crop
from export.studio_mini.faces.pictures import SwapPairs
from export.studio_mini.faces.recognizer import Recognizer
from export.studio_mini.faces.swapper import Swapper, latents, trait_map
from export.studio_mini.train.faces_loop import TimedLoop
from export.studio_mini.train.faces_recognizer import embed

BATCH: Final = 8
PEAK_RATE: Final = 3e-3
LANDMARK_ERROR: Final = 1.5  # standard deviation of what the detector may be off, pixels of a 128-pixel picture
SAME_PERSON: Final = 0.08  # part of the samples that ask for no change: the scene's own person
IDENTITY_FROM: Final = 0.5  # part of the training from which the recogniser judges: before, there is no face to judge
IDENTITY_WEIGHT: Final = 0.2  # small: a network paid mainly by the recogniser learns to fool it


def train_swapper(
    pairs: SwapPairs, recognizer: Recognizer, traits: Tensor, state_file: Path, *, minutes: float, seed: int
) -> tuple[Swapper, NDArray[np.float32]]:
    """Train for ``minutes`` (counted through stops).

    Args:
        pairs: What to learn from.
        recognizer: Trained; gives the embeddings and judges the swaps.
        traits: Directions of traits among its embeddings, [T, 512].
        state_file, minutes, seed: As everywhere.

    Returns:
        The network and its ``emap`` [512, 512].
    """
    torch.manual_seed(seed)
    recognizer.requires_grad_(False)
    wanted = embed(recognizer, pairs.characters, pairs.character_landmarks).clone()
    own = embed(recognizer, pairs.scenes, pairs.scene_landmarks).clone()
    emap = trait_map(traits)
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
        judge = recognizer if loop.progress > IDENTITY_FROM else None
        loop.descend(_loss(swapped, _inside(truth, scene, network.oval), identity, judge))
    return network.eval(), emap.numpy()


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


def _loss(swapped: Tensor, truth: Tensor, identity: Tensor, judge: Recognizer | None) -> Tensor:
    """Absolute difference at full and quarter size and of the edges; distance to the wanted identity, if judged."""
    pixels = F.l1_loss(swapped, truth) + F.l1_loss(F.avg_pool2d(swapped, 4), F.avg_pool2d(truth, 4))
    edges = sum(F.l1_loss(swapped.diff(dim=axis), truth.diff(dim=axis)) for axis in (2, 3))
    drawn = 8 * pixels + 2 * edges
    if judge is None:
        return drawn
    return drawn + IDENTITY_WEIGHT * (1 - F.cosine_similarity(judge(recognizer_crop(swapped)), identity)).mean()


def recognizer_crop(crops: Tensor) -> Tensor:
    """Cut the recogniser's input out of swapper crops [B, 3, 128, 128] in [0, 1]: same scale, shifted in x."""
    return crops[:, :, :RECOGNIZER_SIZE, SWAPPER_SHIFT : SWAPPER_SHIFT + RECOGNIZER_SIZE] * 2 - 1

"""Trains the recognizer to tell people apart whatever they wear and however they are lit."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from studio_mini.faces.alignment import RECOGNIZER_SIZE, crop
from studio_mini.faces.augmentation import cover, degrade
from studio_mini.faces.recognizer import EMBEDDING, MARGIN, ArcFaceHead, Recognizer
from studio_mini.faces.traits import trait_table
from studio_mini.train.faces_loop import TimedLoop
from studio_mini.train.memory_format import channels_last
from studio_mini.train.reconstructions import Reconstructions
from studio_mini.world.pool import FacePool
from studio_mini.world.tasks import person

BATCH: Final = 64
PEAK_RATE: Final = 2e-3
LANDMARK_ERROR: Final = 2.0  # standard deviation of what the detector may be off, pixels of a 128-pixel picture
TRAIT_WEIGHT: Final = 10.0
MARGIN_RISE: Final = (0.15, 0.4)  # parts of the training between which the margin grows


def train_recognizer(
    pool: FacePool, seen: Reconstructions, state_file: Path, *, minutes: float, seed: int
) -> tuple[Recognizer, Tensor]:
    """Train for ``minutes`` (counted through stops), or return the finished network of ``state_file``.

    Args:
        pool: Faces to learn from.
        seen: Some of them through the autoencoder; those are shown half the time in its form.
        state_file, minutes, seed: As everywhere.

    Returns:
        The network, and the directions of people's traits among its embeddings, [T, 512].
    """
    torch.manual_seed(seed)
    people, identity = np.unique(pool.people, return_inverse=True)
    traits = torch.from_numpy(trait_table([person(int(number)) for number in people]))
    network = channels_last(Recognizer())
    head, trait_head = ArcFaceHead(len(people)), nn.Linear(EMBEDDING, traits.shape[1])
    trained = {"recognizer": network, "head": head, "traits": trait_head}
    loop = TimedLoop("recognizer", state_file, trained, minutes=minutes, peak_rate=PEAK_RATE)
    start, end = MARGIN_RISE
    for step in loop.steps():
        rng = np.random.default_rng([seed, 2, step])
        chosen = rng.integers(0, len(identity), BATCH)
        crops = recognizer_input([_sample(pool, seen, int(index), rng) for index in chosen])
        margin = MARGIN * float(np.clip((loop.progress - start) / (end - start), 0, 1))
        embeddings, right = network(crops), torch.from_numpy(identity[chosen])
        trait_loss = F.smooth_l1_loss(trait_head(embeddings), traits[right])
        loop.descend(head(embeddings, right, margin) + TRAIT_WEIGHT * trait_loss)
    return network.eval(), trait_head.weight.detach().clone()


def recognizer_input(crops: list[NDArray[np.uint8]]) -> Tensor:
    """[112, 112, 3] uint8 RGB crops to [B, 3, 112, 112] as the network takes them."""
    stacked = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float()
    return ((stacked - 127.5) / 127.5).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def embed(network: Recognizer, pictures: NDArray[np.uint8], landmarks: NDArray[np.float32], batch: int = 64) -> Tensor:
    """Embeddings [N, 512] of the faces at ``landmarks`` [N, 5, 2] of RGB pictures [N, H, W, 3]."""
    parts = []
    for start in range(0, len(pictures), batch):
        chosen = range(start, min(start + batch, len(pictures)))
        parts.append(network(recognizer_input([crop(pictures[i], landmarks[i], RECOGNIZER_SIZE) for i in chosen])))
    return torch.cat(parts)


def _sample(pool: FacePool, seen: Reconstructions, index: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    landmarks = pool.landmarks[index] + rng.normal(0, LANDMARK_ERROR * rng.random(), (5, 2))
    picture = seen.get(index) if rng.random() < 0.5 else None
    picture = np.array(pool.pictures[index]) if picture is None else picture
    result = degrade(crop(picture, landmarks, RECOGNIZER_SIZE), rng)
    return cover(result, rng) if rng.random() < 0.2 else result

"""Pictures with the denoiser's own faults, graded: what the judge must tell from drawings.

Five kinds, all from training tasks with the character shown. *Untouched* ones are truths that have been through the
autoencoder alone, as all others have: its softness is no fault. *Whole* ones are painted from noise alone, as in a
search. *Restarts* carry a noised truth on to the end: the higher the noise, the more of the picture is the denoiser's,
and the less natural it is called. *Drafts* have too few steps. *Shaken* ones come from weights with noise on them, as a
denoiser in the middle of its training paints: eyes that differ, mouths in pieces, doubled edges of hair.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers import QwenImageTransformer2DModel
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from studio_mini.train.flat_transformer import velocity
from studio_mini.train.latent_cache import Encoders, Examples
from studio_mini.train.own_states import sampler_sigmas
from studio_mini.train.pace import load_state, save_state
from studio_mini.train.precision import autocast
from studio_mini.train.task_cache import TaskSet
from studio_mini.train.training_data import Gallery

LOST: Final = 0.65
"""How much less natural than a truth, 1, a picture is that the denoiser painted alone."""
DRAFTS: Final = {1: 0.0, 2: 0.1, 3: 0.2}
"""How natural a picture of so few steps is."""
SHAKEN: Final = {0.15: 0.2, 0.25: 0.1, 0.35: 0.0}
"""How natural a picture is, by the standard deviation of the noise on each weight matrix, in parts of its own."""
RECOGNIZABLE: Final = 0.4
"""Noise level up to which a restart shows the truth's look."""
KINDS: Final = ("whole", "whole", "restart", "restart", "draft", "shaken", "shaken")
"""Kinds of pictures that the denoiser makes; one is drawn for each batch."""
BATCH: Final = 25
TRANSFORMER: Final = "transformer"


@dataclass(frozen=True, eq=False)
class Artifacts:
    """One row a picture.

    Attributes:
        pictures: uint8 [N, 128, 128, 3].
        tasks: Which task each shows, int64 [N].
        natural: 0 to 1, float32 [N].
        shows_look: Whether the truth's look can be seen, bool [N].
    """

    pictures: NDArray[np.uint8]
    tasks: NDArray[np.int64]
    natural: NDArray[np.float32]
    shows_look: NDArray[np.bool_]


class Painter:
    """One set of the denoiser's weights, and copies of it that are shaken.

    Args:
        encoders: Decode what it paints.
        folder: Holds ``transformer/``.
        seed: Of the noise on weights.
    """

    def __init__(self, encoders: Encoders, folder: Path, seed: int) -> None:
        self._encoders = encoders
        self._weights = QwenImageTransformer2DModel.from_pretrained(folder, subfolder=TRANSFORMER).float().eval()
        self._shaken = {by: shaken(self._weights, by, seed) for by in SHAKEN}

    def restart(self, examples: Examples, rows: NDArray[np.int64], step: int, seed: list[int]) -> NDArray[np.uint8]:
        """Carry the truths of ``rows``, noised to the level of a step, to the end; step 0 is noise alone."""
        return self._paint(self._weights, examples, rows, sampler_sigmas()[step:], seed)

    def draft(self, examples: Examples, rows: NDArray[np.int64], steps: int, seed: list[int]) -> NDArray[np.uint8]:
        """Paint from noise in ``steps`` steps."""
        return self._paint(self._weights, examples, rows, sampler_sigmas(steps), seed)

    def shake(self, examples: Examples, rows: NDArray[np.int64], by: float, seed: list[int]) -> NDArray[np.uint8]:
        """Paint from noise with shaken weights, ``by`` one of ``SHAKEN``."""
        return self._paint(self._shaken[by], examples, rows, sampler_sigmas(), seed)

    def _paint(
        self,
        model: QwenImageTransformer2DModel,
        examples: Examples,
        rows: NDArray[np.int64],
        sigmas: list[float],
        seed: list[int],
    ) -> NDArray[np.uint8]:
        return self._encoders.pictures(paint(model, examples, rows, sigmas, np.random.default_rng(seed)))


@dataclass(frozen=True)
class Studies:
    """What painters work from: training tasks, their latents and embeddings."""

    tasks: TaskSet
    examples: Examples


def artifacts(
    build_dir: Path,
    checkpoint_dir: Path,
    studies: Studies,
    painters: Sequence[Path],
    *,
    faulty: int,
    untouched: int,
    seed: int,
) -> Artifacts:
    """Paint tasks with every painter; pictures are kept in ``build_dir``, batch by batch.

    Args:
        build_dir, checkpoint_dir: Of the states and of the weights.
        studies: At least ``faulty`` tasks.
        painters: Folders that hold ``transformer/``; each begins with other tasks.
        faulty: Tasks of which each painter paints one picture.
        untouched: Tasks of which the truth is shown.
        seed: Of all choices.
    """
    encoders = Encoders(checkpoint_dir)
    parts = [
        _untouched(encoders, studies, np.arange(start, min(start + BATCH, untouched)))
        for start in range(0, untouched, BATCH)
    ]
    for number, folder in enumerate(painters):
        kept = build_dir / "painted" / _digest(folder)
        painter = Painter(encoders, folder, seed)
        for start in track(range(0, faulty, BATCH), f"pictures of {folder.name}"):
            rows = (np.arange(start, min(start + BATCH, faulty)) + number * faulty) % len(studies.tasks)
            path = kept / f"{rows[0]}_{len(rows)}_{seed}.pt"
            parts.append(_kept(path, lambda: _faulty(painter, studies, rows, [seed, number, start])))  # noqa: B023
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])}
    return Artifacts(**columns)


def with_artifacts(pool: Gallery, painted: Artifacts, tasks: TaskSet) -> Gallery:
    """Add what a denoiser painted of ``tasks``."""
    return Gallery(
        pictures=np.concatenate([pool.pictures, painted.pictures]),
        looks=[*pool.looks, *(tasks.looks[k] for k in painted.tasks)],
        natural=np.concatenate([pool.natural, painted.natural]),
        shows_look=np.concatenate([pool.shows_look, painted.shows_look]),
    )


def shaken(model: QwenImageTransformer2DModel, by: float, seed: int) -> QwenImageTransformer2DModel:
    """Return a copy whose matrices carry Gaussian noise, its standard deviation ``by`` parts of their own."""
    other = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in other.parameters():
            if weight.ndim == 2:
                weight += by * weight.std() * torch.randn(weight.shape, generator=draw)
    return other


def restart_grade(sigma: float) -> float:
    """Return how natural a picture is that began with a truth noised to ``sigma``."""
    return 1 - LOST * sigma


def _untouched(encoders: Encoders, studies: Studies, rows: NDArray[np.int64]) -> Artifacts:
    return Artifacts(
        pictures=encoders.pictures(studies.examples.truth[torch.from_numpy(rows)].float()),
        tasks=rows,
        natural=np.full(len(rows), restart_grade(0.0), np.float32),
        shows_look=np.ones(len(rows), bool),
    )


def _faulty(painter: Painter, studies: Studies, rows: NDArray[np.int64], seed: list[int]) -> Artifacts:
    """Return a batch of pictures of one kind, drawn at random."""
    rng = np.random.default_rng([*seed, 13])
    kind, shows_look = KINDS[rng.integers(len(KINDS))], False
    if kind in ("whole", "restart"):
        sigmas = sampler_sigmas()
        step = int(rng.integers(1, len(sigmas))) if kind == "restart" else 0
        pictures, natural = painter.restart(studies.examples, rows, step, seed), restart_grade(sigmas[step])
        shows_look = sigmas[step] <= RECOGNIZABLE
    elif kind == "draft":
        steps, natural = list(DRAFTS.items())[rng.integers(len(DRAFTS))]
        pictures = painter.draft(studies.examples, rows, steps, seed)
    else:
        by, natural = list(SHAKEN.items())[rng.integers(len(SHAKEN))]
        pictures = painter.shake(studies.examples, rows, by, seed)
    return Artifacts(
        pictures=pictures,
        tasks=rows,
        natural=np.full(len(rows), natural, np.float32),
        shows_look=np.full(len(rows), shows_look),
    )


def _kept(path: Path, make: Callable[[], Artifacts]) -> Artifacts:
    """Read what ``path`` holds, or make and write it."""
    if (known := load_state(path)) is None:
        known = vars(make())
        save_state(path, known)
    return Artifacts(**known)


def _digest(folder: Path) -> str:
    """Of a painter's weights."""
    total = hashlib.sha256()
    for file in sorted((folder / TRANSFORMER).iterdir()):
        total.update(file.read_bytes())
    return total.hexdigest()[:12]


@torch.no_grad()
def paint(
    model: QwenImageTransformer2DModel,
    examples: Examples,
    rows: NDArray[np.int64],
    sigmas: list[float],
    rng: np.random.Generator,
) -> Tensor:
    """Carry the truths of ``rows``, noised to the first of ``sigmas``, along them to 0: latents (rows, 64, 64)."""
    chosen = torch.from_numpy(rows)
    truth = examples.truth[chosen].float()
    shown = torch.cat([examples.prior[chosen], examples.character[chosen]], dim=1).float()
    length = examples.length_two[chosen, 0]
    text = examples.text_two[chosen, 0][:, : int(length.max())].float()
    mask = torch.arange(text.shape[1])[None] < length[:, None]
    noise = torch.from_numpy(rng.standard_normal(truth.shape, dtype=np.float32))
    state = torch.lerp(truth, noise, sigmas[0])
    for sigma, following in zip(sigmas, [*sigmas[1:], 0.0], strict=True):
        with autocast():
            step = velocity(model, state, shown, text, mask, torch.full((len(rows),), sigma)).float()
        state = state + (following - sigma) * step
    return state

"""Whether the judge sees the denoiser's own faults, and whether it ranks the seeds of one task, on held-out tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from studio_mini.faces.figures import area_under_roc
from studio_mini.measure.judge import Judge, p_natural
from studio_mini.measure.wholeness import wholeness
from studio_mini.train.artifacts import DRAFTS, SHAKEN, Painter
from studio_mini.train.latent_cache import Encoders, Examples, encoded
from studio_mini.train.own_states import sampler_sigmas
from studio_mini.train.swapped import with_swapped_priors
from studio_mini.train.task_cache import TaskSet, render_tasks
from studio_mini.world.tasks import Split, task

FIRST_TASK: Final = 4000
RESTARTS: Final = (6, 4, 2)
"""Steps from which noised truths are carried to the end."""
_NOISES: Final = 77
_SMALLEST: Final = 1e-6


@dataclass(frozen=True)
class FaultFigures:
    """Of held-out tasks.

    Attributes:
        natural: Mean P(natural) of the drawn truths, half of them through the autoencoder.
        kinds: Mean P(natural) of each kind of faulty picture, and the AUC of those truths against it.
        deviation: Mean over tasks of the standard deviation, over its seeds, of the log-odds of naturalness.
        ranking: Mean over tasks of the rank correlation, over its seeds, of P(natural) with wholeness.
        ranking_error: Standard error of that mean.
    """

    natural: float
    kinds: dict[str, tuple[float, float]]
    deviation: float
    ranking: float
    ranking_error: float


def fault_figures(checkpoint: Path, judge: Judge, *, tasks: int, ranked: int, seeds: int) -> FaultFigures:
    """Paint held-out tasks with the checkpoint's denoiser, character shown, well and badly, and ask the judge.

    Args:
        checkpoint: Holds the denoiser and all that it is conditioned by.
        judge: Is asked.
        tasks: Of which one picture of each kind is painted.
        ranked: Of these, the first ones, ``seeds`` pictures from noise are ranked.
        seeds: At least 2.
    """
    encoders = Encoders(checkpoint)
    drawn = with_swapped_priors(render_tasks(range(FIRST_TASK, FIRST_TASK + tasks), Split.HELD_OUT), encoders.pack)
    examples = encoded(encoders, drawn, np.random.default_rng(_NOISES))
    painter = Painter(encoders, checkpoint, seed=_NOISES)
    good = p_natural(judge, np.concatenate([drawn.truth, encoders.pictures(examples.truth.float())]))
    kinds = {kind: p_natural(judge, shown) for kind, shown in _faulty(painter, examples, drawn).items()}
    rows = np.arange(ranked)
    painted = np.stack([painter.restart(examples, rows, 0, [_NOISES, seed]) for seed in range(seeds)], axis=1)
    answers = p_natural(judge, painted.reshape(-1, *painted.shape[2:])).reshape(painted.shape[:2])
    ranking = [rank_correlation(answers[row], _wholeness(painted[row], row)) for row in range(ranked)]
    return FaultFigures(
        natural=float(good.mean()),
        kinds={kind: (float(bad.mean()), area_under_roc(good, bad)) for kind, bad in kinds.items()},
        deviation=float(_log_odds(answers).std(axis=1, ddof=1).mean()),
        ranking=float(np.mean(ranking)),
        ranking_error=float(np.std(ranking, ddof=1) / len(ranking) ** 0.5),
    )


def rank_correlation(one: Sequence[float] | NDArray[np.float64], other: Sequence[float] | NDArray[np.float64]) -> float:
    """Return Spearman's correlation of two lists without ties."""
    first, second = (np.argsort(np.argsort(values)).astype(float) for values in (one, other))
    return float(np.corrcoef(first, second)[0, 1])


def _faulty(painter: Painter, examples: Examples, drawn: TaskSet) -> dict[str, NDArray[np.uint8]]:
    """One picture of every task by kind, uint8 [tasks, 128, 128, 3]."""
    rows, sigmas = np.arange(len(drawn)), sampler_sigmas()
    return {
        **{
            f"truths noised to {sigmas[step]:.2f}, denoised": painter.restart(examples, rows, step, [_NOISES, 1, step])
            for step in RESTARTS
        },
        f"{len(sigmas)} steps from noise": painter.restart(examples, rows, 0, [_NOISES, 2]),
        **{
            f"{steps} step{'s' if steps > 1 else ''}": painter.draft(examples, rows, steps, [_NOISES, 3, steps])
            for steps in sorted(DRAFTS, reverse=True)
        },
        **{
            f"weights shaken by {by:g}": painter.shake(examples, rows, by, [_NOISES, 4, number])
            for number, by in enumerate(SHAKEN)
        },
        "priors by the face pack": drawn.prior,
    }


def _wholeness(pictures: NDArray[np.uint8], row: int) -> NDArray[np.float64]:
    truth = task(FIRST_TASK + row, Split.HELD_OUT).truth
    return wholeness(pictures, truth.picture, truth.landmarks)


def _log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(probabilities, _SMALLEST, 1 - _SMALLEST)
    return np.asarray(np.log(inside / (1 - inside)))

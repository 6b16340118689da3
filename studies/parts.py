"""The parts of the study, each of one task: what is asked of its scoreboard, and the rows that come of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eacps.search.recipe import Recipe
from studies.contenders import Contender
from studies.pool import Scores
from studies.potentials import Yardstick
from studies.probes import fresh, probes, recipes_of, restarted
from studies.searches import Found, PictureMaker, Scoreboard, gaussian_noise, search
from studies.tables import FreshRow, PairedRow, ProbeRow, SearchRow

SPREAD_SEEDS = 32
"""Fresh seeds that say how far a task's own potentials spread, where a verifier's noise is a share of it."""


@dataclass(frozen=True)
class Bench:
    """One task and how it is scored.

    Attributes:
        task: Its number; also the seed of all its searches, so that they share their first seeds.
        scoreboard: Its pictures' scores.
        pictures: Makes its pictures.
        yardstick: What is climbed.
        steps: Of the full schedule.
    """

    task: int
    scoreboard: Scoreboard
    pictures: PictureMaker
    yardstick: Yardstick
    steps: int

    async def potentials(self, count: int) -> list[float]:
        """Return the potentials of the first fresh seeds."""
        return [row.potential for row in await fresh_rows(self, count)]


async def fresh_rows(bench: Bench, count: int) -> list[FreshRow]:
    """Score the first ``count`` fresh seeds."""
    scores = await bench.scoreboard(fresh(bench.task, count), bench.steps)
    return [FreshRow(bench.task, index, *_figures(bench.yardstick, one)) for index, one in enumerate(scores)]


async def result(bench: Bench, contender: Contender, budget: int) -> Found:
    """Run one search without noise and return what it ends with."""
    progress = await search(bench.scoreboard, contender.spec(budget, bench.task), bench.yardstick, steps=bench.steps)
    return progress[-1]


async def search_rows(bench: Bench, contender: Contender, budget: int, noise_sd: float = 0.0) -> list[SearchRow]:
    """Run one search.

    Args:
        bench: Its task.
        contender: Its strategy.
        budget: In whole trajectories.
        noise_sd: Of the verifier's error, in standard deviations of the task's fresh seeds.
    """
    noise = None
    if noise_sd > 0.0:
        spread = float(np.std(await bench.potentials(SPREAD_SEEDS), ddof=1))
        noise = gaussian_noise(noise_sd * spread, seed=bench.task)
    spec = contender.spec(budget, bench.task)
    progress = await search(bench.scoreboard, spec, bench.yardstick, steps=bench.steps, noise=noise)
    return [
        SearchRow(
            bench.task,
            contender.name,
            budget,
            noise_sd,
            found.work.nfe,
            found.work.pictures,
            found.work.calls,
            found.work.batches,
            int(found is progress[-1]),
            *_figures(bench.yardstick, found.scores),
        )
        for found in progress
    ]


async def probe_rows(bench: Bench, parents: int) -> list[ProbeRow]:
    """Score children of the first ``parents`` fresh seeds by every move."""
    found = probes(bench.task, fresh(bench.task, parents))
    recipes = recipes_of(found)
    scores = await bench.scoreboard(recipes, bench.steps)
    known = {recipe: bench.yardstick.potential(one).value for recipe, one in zip(recipes, scores, strict=True)}
    return [
        ProbeRow(
            bench.task,
            one.move,
            one.angle,
            known[one.parents[0]],
            known[one.parents[1]] if len(one.parents) > 1 else math.nan,
            known[one.child],
        )
        for one in found
    ]


async def draft_rows(bench: Bench, count: int, steps: Sequence[int]) -> list[PairedRow]:
    """Score drafts of the first ``count`` fresh seeds, of so many steps each, and their full trajectories."""
    recipes = fresh(bench.task, count)
    return [row for many in (*steps, bench.steps) for row in await _paired(bench, recipes, many, schedule=many)]


async def restart_rows(bench: Bench, count: int, steps: Sequence[int]) -> list[PairedRow]:
    """Score the first ``count`` fresh seeds, and a restart of each at every one of ``steps``."""
    parents = fresh(bench.task, count)
    rows = await _paired(bench, parents, bench.steps, schedule=bench.steps)  # before those made of them
    for step in steps:
        rows += await _paired(bench, restarted(bench.task, parents, step), step, schedule=bench.steps)
    return rows


async def _paired(bench: Bench, recipes: Sequence[Recipe], steps: int, *, schedule: int) -> list[PairedRow]:
    scores = await bench.scoreboard(recipes, schedule)
    potentials = [bench.yardstick.potential(one).value for one in scores]
    return [PairedRow(bench.task, index, steps, potential) for index, potential in enumerate(potentials)]


def _figures(yardstick: Yardstick, scores: Scores) -> tuple[float, ...]:
    """The last columns of a row, in their order."""
    named = ("identity", "realism", "prompt", "identity_heldout", "preservation", "truth_error")
    return (yardstick.potential(scores).value, yardstick.uncapped(scores), *(scores[name] for name in named))

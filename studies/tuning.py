"""What must be known of a checkpoint before its searches are compared, measured on tasks of its own.

The landscape and the restarts go into the checkpoint's ``calibration.json``, where every search finds them. Settings of
the contenders are tried here, so that each comes to the comparison with the best of those.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from eacps.search.calibration import Landscape
from eacps.search.landscape import LandscapeModel, Observation
from studies.analysis.by_task import Array
from studies.contenders import Contender
from studies.parts import Bench, draft_rows, restart_rows, search_rows
from studies.probes import fresh, probes, recipes_of
from studies.rivals.settings import DraftFit
from studies.runner import Runner
from studies.tables import PairedRow, TrialRow

_UNKNOWN: Final = Landscape(curvature=1.0, curvature_sd=3.0)
_LEAST_SD: Final = 0.3
"""Of the logarithm of the curvature: a search must be able to learn that its task differs."""
_LEAST_CORRELATION: Final = 0.05
"""Of drafts: the noise of one that correlates with nothing would be infinite."""


@dataclass(frozen=True, slots=True)
class TaskLandscape:
    """One task's own: curvature of the kernel, spread of the potential over fresh seeds."""

    curvature: float
    spread: float


def landscape_section(landscapes: Sequence[TaskLandscape]) -> dict[str, Any]:
    """Return the section ``landscape`` of ``calibration.json``."""
    logs = np.log([one.curvature for one in landscapes])
    spreads = np.array([one.spread for one in landscapes])
    return {
        "curvature": {"mean": _short(math.exp(logs.mean())), "sd": _short(max(_LEAST_SD, logs.std(ddof=1)))},
        "spread": {"mean": _short(spreads.mean()), "sd": _short(spreads.std(ddof=1))},
    }


def correlations(rows: Sequence[PairedRow]) -> dict[float, float]:
    """Correlate, within tasks, potentials at each number of steps with those at the most.

    Returns:
        Mean over tasks by share of the steps, 1 left out.
    """
    found = {}
    for share, pairs in _pairs(rows).items():
        known = [float(np.corrcoef(final, other)[0, 1]) for final, other in pairs if np.std(final) and np.std(other)]
        if known:
            found[share] = float(np.mean(known))
    return found


def slopes(rows: Sequence[PairedRow]) -> dict[float, float]:
    """Regress, within tasks, potentials at the most steps on those at each smaller number of steps.

    Returns:
        Slope of all tasks together by share of the steps, 1 left out.
    """
    found = {}
    for share, pairs in _pairs(rows).items():
        final, other = (np.concatenate([one - one.mean() for one in side]) for side in zip(*pairs, strict=True))
        if np.any(other):
            found[share] = float(final @ other / (other @ other))
    return found


def _pairs(rows: Sequence[PairedRow]) -> dict[float, list[tuple[Array, Array]]]:
    """Potentials at the most steps and at fewer, of the same seeds, for each task; by share of the steps."""
    table: dict[int, dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        table[row.task][row.steps][row.index] = row.potential
    whole = max(row.steps for row in rows)
    found: dict[float, list[tuple[Array, Array]]] = defaultdict(list)
    for by_steps in table.values():
        final = np.array([by_steps[whole][index] for index in sorted(by_steps[whole])])
        for steps in sorted(set(by_steps) - {whole}):
            other = np.array([by_steps[steps][index] for index in sorted(by_steps[steps])])
            found[steps / whole].append((final, other))
    return found


async def measure_landscape(runner: Runner, tasks: Sequence[int], *, seeds: int, parents: int) -> list[TaskLandscape]:
    """Fit the search's own model, knowing nothing beforehand, to fresh seeds and unselected parents' children."""
    return await runner.over_tasks("landscape", tasks, partial(landscape_rows, seeds=seeds, parents=parents))


async def measure_restarts(runner: Runner, tasks: Sequence[int], *, seeds: int, steps: Sequence[int]) -> dict[str, Any]:
    """Score restarts of unselected pictures at each of ``steps``; return the section ``restarts``."""
    rows = await runner.over_tasks("restarts", tasks, partial(restart_rows, count=seeds, steps=steps))
    return {f"{share:g}": _short(max(0.0, r)) for share, r in correlations(rows).items()}


async def measure_drafts(
    runner: Runner, tasks: Sequence[int], *, seeds: int, shares: Sequence[float]
) -> dict[float, DraftFit]:
    """Score drafts of fresh seeds; return what they say of their full trajectories, by share of the steps."""
    steps = {share: max(1, round(share * runner.oracle.steps)) for share in shares}
    rows = await runner.over_tasks("drafts", tasks, partial(draft_rows, count=seeds, steps=sorted({*steps.values()})))
    known = draft_fits(rows)
    return {share: known[many / runner.oracle.steps] for share, many in steps.items()}


def draft_fits(rows: Sequence[PairedRow]) -> dict[float, DraftFit]:
    """Fit drafts to full trajectories, by share of the steps; a draft that says nothing correlates a little."""
    known, rise = correlations(rows), slopes(rows)
    return {share: DraftFit(min(max(r, _LEAST_CORRELATION), 1.0), rise[share]) for share, r in known.items()}


async def try_settings(
    runner: Runner, tasks: Sequence[int], family: Sequence[Contender], budget: int
) -> list[TrialRow]:
    """Run one strategy with each of its settings."""
    rows = []
    for contender in family:
        part = partial(search_rows, contender=contender, budget=budget)
        found = await runner.over_tasks(f"{contender.title}: {contender.setting}", tasks, part)
        rows += [TrialRow(one.task, one.contender, contender.setting, one.potential) for one in found if one.last]
    return rows


def best_setting(family: Sequence[Contender], trials: Sequence[TrialRow]) -> Contender:
    """Return the contender whose results are best on average; the only one needs no trial."""
    if len(family) == 1:
        return family[0]
    results: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in trials:
        results[row.contender, row.setting].append(row.potential)
    return max(family, key=lambda one: float(np.mean(results[one.name, one.setting])))


async def landscape_rows(bench: Bench, *, seeds: int, parents: int) -> list[TaskLandscape]:
    """Fit one task, the one row of its part."""
    known = fresh(bench.task, seeds)
    recipes = list(dict.fromkeys([*known, *recipes_of(probes(bench.task, known[:parents]))]))
    scores = await bench.scoreboard(recipes, bench.steps)
    values = [bench.yardstick.potential(one).value for one in scores]
    model = LandscapeModel([Observation(*pair) for pair in zip(recipes, values, strict=True)], _UNKNOWN)
    return [TaskLandscape(model.curvature, model.spread)]


def _short(value: float) -> float:
    return round(float(value), 4)

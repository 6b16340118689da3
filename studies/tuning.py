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
from studies.contenders import Contender
from studies.parts import Bench, draft_rows, restart_rows, search_rows
from studies.probes import fresh, probes, recipes_of
from studies.runner import Runner
from studies.tables import PairedRow, TrialRow

_UNKNOWN: Final = Landscape(curvature=1.0, curvature_sd=3.0)
_LEAST_SD: Final = 0.3
"""Of the logarithm of the curvature: a search must be able to learn that its task differs."""


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
    table: dict[int, dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        table[row.task][row.steps][row.index] = row.potential
    whole = max(row.steps for row in rows)
    found: dict[float, list[float]] = defaultdict(list)
    for by_steps in table.values():
        final = [by_steps[whole][index] for index in sorted(by_steps[whole])]
        for steps in sorted(set(by_steps) - {whole}):
            other = [by_steps[steps][index] for index in sorted(by_steps[steps])]
            if np.std(final) > 0 and np.std(other) > 0:
                found[steps / whole].append(float(np.corrcoef(final, other)[0, 1]))
    return {share: float(np.mean(values)) for share, values in found.items()}


async def measure_landscape(runner: Runner, tasks: Sequence[int], *, seeds: int, parents: int) -> list[TaskLandscape]:
    """Fit the search's own model, knowing nothing beforehand, to fresh seeds and unselected parents' children."""
    return await runner.over_tasks("landscape", tasks, partial(landscape_rows, seeds=seeds, parents=parents))


async def measure_restarts(runner: Runner, tasks: Sequence[int], *, seeds: int, steps: Sequence[int]) -> dict[str, Any]:
    """Score restarts of unselected pictures at each of ``steps``; return the section ``restarts``."""
    rows = await runner.over_tasks("restarts", tasks, partial(restart_rows, count=seeds, steps=steps))
    return {f"{share:g}": _short(max(0.0, r)) for share, r in correlations(rows).items()}


async def measure_drafts(
    runner: Runner, tasks: Sequence[int], *, seeds: int, shares: Sequence[float]
) -> dict[float, float]:
    """Score drafts of fresh seeds; return the correlation with their full trajectories by share of the steps."""
    steps = {share: max(1, round(share * runner.oracle.steps)) for share in shares}
    rows = await runner.over_tasks("drafts", tasks, partial(draft_rows, count=seeds, steps=sorted({*steps.values()})))
    known = correlations(rows)
    return {share: known[many / runner.oracle.steps] for share, many in steps.items()}


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

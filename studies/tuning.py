"""What must be known of a checkpoint before its searches are compared, measured on tasks of its own.

The landscape and the restarts go into the checkpoint's ``calibration.json``, where every search finds them; the angle
of the fixed contender and the drafts are chosen here, so that all come to the comparison with their best settings.
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
from eacps.search.spec import SphericalMove
from studies.contenders import Contender, Draft, drafted_contenders, two_rounds
from studies.parts import Bench, draft_rows, restart_rows, search_rows
from studies.probes import fresh, probes, recipes_of
from studies.runner import Runner
from studies.tables import PairedRow, SearchRow

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
        table[row.task][row.steps][row.place] = row.potential
    whole = max(row.steps for row in rows)
    found: dict[float, list[float]] = defaultdict(list)
    for by_steps in table.values():
        final = [by_steps[whole][place] for place in sorted(by_steps[whole])]
        for steps in sorted(set(by_steps) - {whole}):
            other = [by_steps[steps][place] for place in sorted(by_steps[steps])]
            if np.std(final) > 0 and np.std(other) > 0:
                found[steps / whole].append(float(np.corrcoef(final, other)[0, 1]))
    return {share: float(np.mean(values)) for share, values in found.items()}


async def measure_landscape(runner: Runner, tasks: Sequence[int], *, seeds: int, parents: int) -> list[TaskLandscape]:
    """Fit the search's own model, knowing nothing beforehand, to fresh seeds and unselected parents' children."""
    return await runner.over_tasks("landscape", tasks, partial(landscape_rows, seeds=seeds, parents=parents))


async def try_angles(runner: Runner, tasks: Sequence[int], angles: Sequence[float], budget: int) -> list[SearchRow]:
    """Run the fixed contender at every angle; the rows' ``contender`` is the angle."""
    rows = []
    for angle in angles:
        move = SphericalMove(angle, decay=1.0)
        contender = Contender(f"{angle:g}", "", partial(two_rounds, local=move))
        part = partial(search_rows, contender=contender, budget=budget)
        rows += await runner.over_tasks(f"fixed at {angle:g} rad", tasks, part)
    return rows


async def measure_restarts(runner: Runner, tasks: Sequence[int], *, seeds: int, steps: Sequence[int]) -> dict[str, Any]:
    """Score restarts of unselected pictures at each of ``steps``; return the section ``restarts``."""
    rows = await runner.over_tasks("restarts", tasks, partial(restart_rows, count=seeds, steps=steps))
    return {f"{share:g}": _short(max(0.0, r)) for share, r in correlations(rows).items()}


async def best_draft(
    runner: Runner, tasks: Sequence[int], drafts: Sequence[tuple[float, float]], *, seeds: int, budget: int
) -> Draft:
    """Run the adaptive search with each kind of draft; return the one whose results are best on average."""
    steps = {share: max(1, round(share * runner.oracle.steps)) for share, _ in drafts}
    rows = await runner.over_tasks("drafts", tasks, partial(draft_rows, count=seeds, steps=sorted({*steps.values()})))
    known = correlations(rows)
    found = {}
    for share, kept in drafts:
        draft = Draft(share, kept, min(max(known[steps[share] / runner.oracle.steps], 0.05), 1.0))
        contender = drafted_contenders(draft)[0]
        part = partial(search_rows, contender=contender, budget=budget)
        results = await runner.over_tasks(f"drafts of {share:.3g}, {kept:.3g} run in full", tasks, part)
        found[draft] = float(np.mean([row.potential for row in results if row.last]))
    return max(found, key=lambda draft: found[draft])


def best_angle(rows: Sequence[SearchRow]) -> float:
    """Return the angle whose results are best on average."""
    results: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.last:
            results[row.contender].append(row.potential)
    return float(max(results, key=lambda name: float(np.mean(results[name]))))


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

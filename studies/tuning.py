"""What must be known of a checkpoint before its searches are compared, measured on tasks of its own.

The landscape and the previews go into the checkpoint's ``calibration.json``, where every search finds them; the angle
of the fixed contender is chosen here, so that it comes to the comparison with its best setting.
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
from studies.analysis.by_task import within_task_sd
from studies.contenders import (
    Contender,
    Draft,
    drafted_contenders,
    plain_contenders,
    planner,
    pruned_contenders,
    two_rounds,
)
from studies.parts import Bench, draft_rows, fresh_rows, preview_rows, restart_rows, search_rows
from studies.probes import fresh, probes, recipes_of
from studies.runner import Runner
from studies.tables import FreshRow, PreviewRow, SearchRow

_UNKNOWN: Final = Landscape(curvature=1.0, curvature_sd=3.0)
_LEAST_SD: Final = 0.3
"""Of the logarithm of the curvature: a search must be able to learn that its task differs."""


@dataclass(frozen=True, slots=True)
class TaskLandscape:
    """One task's own: curvature of the kernel, spread of the potential over fresh seeds."""

    curvature: float
    spread: float


def sections(landscapes: Sequence[TaskLandscape], previews: Sequence[PreviewRow]) -> dict[str, Any]:
    """Give the sections ``landscape`` and ``previews`` of ``calibration.json``."""
    logs = np.log([one.curvature for one in landscapes])
    spreads = np.array([one.spread for one in landscapes])
    return {
        "landscape": {
            "curvature": {"mean": _short(math.exp(logs.mean())), "sd": _short(max(_LEAST_SD, logs.std(ddof=1)))},
            "spread": {"mean": _short(spreads.mean()), "sd": _short(spreads.std(ddof=1))},
        },
        "previews": {f"{share:g}": _short(max(0.0, r)) for share, r in preview_correlations(previews).items()},
    }


def preview_correlations(rows: Sequence[PreviewRow]) -> dict[float, float]:
    """Correlate, within tasks, the potential of what is decoded after each step with the final one.

    Returns:
        Mean over tasks by share of the steps, 1 left out.
    """
    table: dict[int, dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        table[row.task][row.stop][row.place] = row.potential
    last = max(row.stop for row in rows)
    found: dict[float, list[float]] = defaultdict(list)
    for by_stop in table.values():
        final = [by_stop[last][place] for place in sorted(by_stop[last])]
        for stop in sorted(set(by_stop) - {last}):
            shown = [by_stop[stop][place] for place in sorted(by_stop[stop])]
            if np.std(final) > 0 and np.std(shown) > 0:
                found[stop / last].append(float(np.corrcoef(final, shown)[0, 1]))
    return {share: float(np.mean(values)) for share, values in found.items()}


async def measure_landscape(runner: Runner, tasks: Sequence[int], *, seeds: int, parents: int) -> list[TaskLandscape]:
    """Fit the search's own model, knowing nothing beforehand, to fresh seeds and unselected parents' children."""
    return await runner.over_tasks("landscape", tasks, partial(landscape_rows, seeds=seeds, parents=parents))


async def measure_previews(runner: Runner, tasks: Sequence[int], *, seeds: int) -> list[PreviewRow]:
    """Score what is decoded after each step."""
    return await runner.over_tasks("previews", tasks, partial(preview_rows, count=seeds))


async def try_angles(runner: Runner, tasks: Sequence[int], angles: Sequence[float], budget: int) -> list[SearchRow]:
    """Run the fixed contender at every angle; the rows' ``contender`` is the angle."""
    rows = []
    for angle in angles:
        move = SphericalMove(angle, decay=1.0)
        contender = Contender(f"{angle:g}", "", partial(two_rounds, local=move))
        part = partial(search_rows, contender=contender, budget=budget)
        rows += await runner.over_tasks(f"fixed at {angle:g} rad", tasks, part)
    return rows


async def measure_drafts(runner: Runner, tasks: Sequence[int], *, seeds: int, steps: Sequence[int]) -> dict[str, Any]:
    """Score drafts of so many steps each; return the section ``drafts`` of ``calibration.json``."""
    rows = await runner.over_tasks("drafts", tasks, partial(draft_rows, count=seeds, steps=steps))
    return {f"{share:g}": _short(max(0.0, r)) for share, r in preview_correlations(rows).items()}


async def measure_restarts(runner: Runner, tasks: Sequence[int], *, seeds: int, steps: Sequence[int]) -> dict[str, Any]:
    """Score restarts of unselected pictures at each of ``steps``; return the section ``restarts``."""
    rows = await runner.over_tasks("restarts", tasks, partial(restart_rows, count=seeds, steps=steps))
    return {f"{share:g}": _short(max(0.0, r)) for share, r in preview_correlations(rows).items()}


async def try_drafts(runner: Runner, tasks: Sequence[int], drafts: Sequence[Draft], budget: int) -> dict[Draft, float]:
    """Run the adaptive search with each kind of draft.

    Returns:
        Mean potential of its results.
    """
    found = {}
    for draft in drafts:
        contender = drafted_contenders(draft)[0]
        part = partial(search_rows, contender=contender, budget=budget)
        rows = await runner.over_tasks(f"drafts of {draft[0]:.3g}, {draft[1]:.3g} run in full", tasks, part)
        found[draft] = float(np.mean([row.potential for row in rows if row.last]))
    return found


async def try_pruning(runner: Runner, tasks: Sequence[int], budget: int) -> dict[str, Any]:
    """Run strategies with pruning, as it is expected to be best, and without; give the section ``pruning``."""
    plan = planner(runner.yardstick.calibration, steps=runner.oracle.steps)
    section = {}
    for plain, pruned in zip(plain_contenders(), pruned_contenders(plan), strict=True):
        without, with_pruning = [
            await runner.over_tasks(
                f"{contender.title} at {budget}", tasks, partial(search_rows, contender=contender, budget=budget)
            )
            for contender in (plain, pruned)
        ]
        fresh = await runner.over_tasks("fresh seeds", tasks, partial(fresh_rows, count=budget))
        section[plain.spec(budget, 0).strategy] = pruning_gain(without, with_pruning, fresh)
    return section


def pruning_gain(
    plain: Sequence[SearchRow], pruned: Sequence[SearchRow], fresh: Sequence[FreshRow]
) -> dict[str, float]:
    """Give what pruning did to results, in standard deviations within a task, and its standard error."""
    before, after = ({row.task: row.potential for row in rows if row.last} for rows in (plain, pruned))
    differences = np.array([after[task] - before[task] for task in sorted(before)]) / within_task_sd(fresh)
    return {"gain": _short(differences.mean()), "se": _short(differences.std(ddof=1) / math.sqrt(len(differences)))}


def best_angle(rows: Sequence[SearchRow]) -> float:
    """Give the angle whose results are best on average."""
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

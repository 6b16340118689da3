"""The whole study in order: tune on some tasks, compare on others, write everything down."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from eacps.search.calibration import Calibration
from export.studio_mini.calibrate import CALIBRATION_FILE, write_section
from studies import tuning
from studies.contenders import Contender, contenders
from studies.parts import fresh_rows, preview_rows, probe_rows, search_rows
from studies.pool import Pool, fingerprint
from studies.potentials import Yardstick
from studies.report import Results, write_results
from studies.subjects import FIRST_STUDIED, FIRST_TUNED
from studies.tables import SearchRow
from studies.workshop import Workshop, open_workshop

COMPARED_BUDGET: Final = 32
NOISES: Final = (0.5, 1.0)
NOISY: Final = ("best_of_n", "fixed", "adaptive")
PREVIEWED: Final = 12
PROBED: Final = 4
TUNED_SEEDS: Final = 24


@dataclass(frozen=True)
class Size:
    """How much of it.

    Attributes:
        tasks: Compared on.
        tuned: Chosen on.
        fresh: Seeds of best-of-N's curve, at least the largest budget.
        budgets: Of the comparison, ascending.
    """

    tasks: int = 100
    tuned: int = 32
    fresh: int = 128
    budgets: tuple[int, ...] = (8, 16, 32, 64)


@dataclass(frozen=True)
class Paths:
    """Where things are and go.

    Attributes:
        checkpoint: Its ``calibration.json`` is written too.
        model_repository: Exported from it.
        work_dir: Journal of scores, Triton's log.
        out: Tables and plots.
        pool: Published scores.
    """

    checkpoint: Path
    model_repository: Path
    work_dir: Path
    out: Path
    pool: Path


async def run(paths: Paths, size: Size, *, shows_character: bool, tune_only: bool = False) -> None:
    """Run it, or go on with it.

    Args:
        paths: See there.
        size: See there.
        shows_character: Whether the backbone sees the character's picture beside the prior.
        tune_only: Whether to stop once the checkpoint's calibration is written.

    Raises:
        UnscoredError: A scorer failed.
        EacpsError: Triton did.
    """
    weights = fingerprint(paths.checkpoint, shows_character=shows_character)
    pool = Pool(paths.work_dir / "pool.csv", paths.pool, weights=weights)
    opened = open_workshop(
        model_repository=paths.model_repository,
        log_file=paths.work_dir / "triton.log",
        pool=pool,
        yardstick=Yardstick(_calibration(paths.checkpoint, ("scorers",))),
        shows_character=shows_character,
    )
    async with opened as workshop:
        try:
            angles = await _tune(workshop, paths.checkpoint, size.tuned)
            if not tune_only:
                workshop.yardstick = replace(workshop.yardstick, calibration=_calibration(paths.checkpoint))
                results = await _compare(workshop, size, angles)
                write_results(results, paths.out)
        finally:
            pool.publish()


async def _tune(workshop: Workshop, checkpoint: Path, count: int) -> list[SearchRow]:
    tasks = range(FIRST_TUNED, FIRST_TUNED + count)
    landscapes = await tuning.measure_landscape(workshop, tasks, seeds=TUNED_SEEDS, parents=PROBED)
    previews = await tuning.measure_previews(workshop, tasks, seeds=TUNED_SEEDS)
    for name, section in tuning.sections(landscapes, previews).items():
        write_section(checkpoint, name, section)
    return await tuning.try_angles(workshop, tasks)


async def _compare(workshop: Workshop, size: Size, angles: list[SearchRow]) -> Results:
    tasks = range(FIRST_STUDIED, FIRST_STUDIED + size.tasks)
    angle = tuning.best_angle(angles)
    compared = contenders(angle)
    fresh = await workshop.over_tasks("fresh seeds", tasks, partial(fresh_rows, count=size.fresh))
    searches: list[SearchRow] = []

    async def race(contender: Contender, budget: int, noise_sd: float = 0.0) -> None:
        noise = f", noise {noise_sd:g} sd" if noise_sd else ""
        part = partial(search_rows, contender=contender, budget=budget, noise_sd=noise_sd)
        searches.extend(await workshop.over_tasks(f"{contender.title} at {budget}{noise}", tasks, part))

    # What matters most comes first: a study cut off has answered that.
    for budget in sorted(size.budgets, key=lambda budget: (budget != COMPARED_BUDGET, budget)):
        for contender in compared:
            await race(contender, budget)
    probes = await workshop.over_tasks("moves", tasks, partial(probe_rows, parents=PROBED))
    previews = await workshop.over_tasks("previews", tasks, partial(preview_rows, count=PREVIEWED))
    if COMPARED_BUDGET in size.budgets:
        for noise_sd in NOISES:
            for contender in compared:
                if contender.name in NOISY:
                    await race(contender, COMPARED_BUDGET, noise_sd)
    return Results(
        steps=workshop.oracle.steps,
        calibration=workshop.yardstick.calibration,
        contenders=compared,
        angle=angle,
        angles=angles,
        fresh=fresh,
        searches=searches,
        probes=probes,
        previews=previews,
    )


def _calibration(checkpoint: Path, only: tuple[str, ...] | None = None) -> Calibration:
    data = json.loads((checkpoint / CALIBRATION_FILE).read_text(encoding="utf-8"))
    return Calibration.from_dict({name: data[name] for name in data if only is None or name in only})

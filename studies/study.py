"""The whole study in order: tune on some tasks, compare on others, write everything down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from eacps.scoring.score_maps import ScoreMaps
from eacps.search.calibration import Calibration
from eacps.search.eacps_adaptive import restart_steps
from export.calibration import CALIBRATION_FILE
from studies import tuning
from studies.analysis.comparison import REFERENCE_BUDGET
from studies.contenders import BASELINE, DEFAULT, DRAFT_SHARES, Contender, families
from studies.costs import Prices
from studies.parts import fresh_rows, probe_rows, search_rows
from studies.pool import Pool, fingerprint
from studies.potentials import Yardstick
from studies.prices import PRICES_FILE, prices_of
from studies.report import write_results
from studies.results import Results
from studies.rivals.settings import DraftFit
from studies.runner import Runner, embedded, open_runner
from studies.subjects import FIRST_STUDIED, FIRST_TUNED
from studies.tables import SearchRow, TrialRow
from studio_mini.calibrate import write_section

NOISY: Final = (BASELINE, "fixed", DEFAULT)
"""Contenders that are also compared under a verifier's noise."""
NOISES: Final = (0.5, 1.0)
"""Standard deviations of that noise, in those of the task's fresh seeds."""


@dataclass(frozen=True)
class Size:
    """How much of it.

    Attributes:
        tasks: Compared on.
        tuned: Chosen on.
        fresh: Seeds of best-of-N's curve, at least the largest budget and `REFERENCE_BUDGET`.
        budgets: Of the comparison, ascending.
        noises: Of verifiers, in standard deviations within a task.
        tuned_seeds: Fresh seeds of the tasks chosen on.
        paired: Fresh seeds whose drafts and restarts are scored.
        probed: Parents that get a child by every move.
        settings: Of each contender that are tried, at most, in the order in which they are listed.
        contenders: Names of those that are compared, beside best-of-N; none is all.
    """

    tasks: int = 100
    tuned: int = 32
    fresh: int = 128
    budgets: tuple[int, ...] = (8, 16, 32, 64)
    noises: tuple[float, ...] = NOISES
    tuned_seeds: int = 24
    paired: int = 12
    probed: int = 4
    settings: int = 8
    contenders: tuple[str, ...] = ()

    @property
    def compared(self) -> int:
        """The budget at which everything is compared: the reference where it is among them, else the largest."""
        return REFERENCE_BUDGET if REFERENCE_BUDGET in self.budgets else max(self.budgets)


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
        OtherWeightsError: The published pool is of other weights.
        UnscoredError: A scorer failed.
        EacpsError: Triton did.
    """
    weights = fingerprint(paths.checkpoint, shows_character=shows_character)
    pool = Pool(paths.work_dir, paths.pool, weights=weights)
    async with (
        embedded(paths.model_repository, paths.work_dir / "triton.log") as url,
        open_runner(url, pool, Yardstick(), shows_character=shows_character) as runner,
    ):
        try:
            await run_in(runner, paths, size, tune_only=tune_only)
        finally:
            pool.publish()


async def run_in(runner: Runner, paths: Paths, size: Size, *, tune_only: bool = False) -> None:
    """Run it over a Triton that is there already; otherwise as `run`."""
    runner.yardstick = yardstick_of(paths.checkpoint, ("scorers",))
    drafts = await _calibrate(runner, paths.checkpoint, size)
    if not tune_only:
        runner.yardstick = yardstick_of(paths.checkpoint)
        prices = await prices_of(runner, paths.out / PRICES_FILE)
        trials, compared = await _choose(runner, size, drafts)
        write_results(await _compare(runner, size, trials, compared, prices), paths.out)


async def _calibrate(runner: Runner, checkpoint: Path, size: Size) -> dict[float, DraftFit]:
    """Write what searches know of the checkpoint; return what drafts say, which only the study needs."""
    tasks = _tuned(size)
    landscapes = await tuning.measure_landscape(runner, tasks, seeds=size.tuned_seeds, parents=size.probed)
    write_section(checkpoint, "landscape", tuning.landscape_section(landscapes))
    steps = restart_steps(runner.oracle.steps)
    restarts = await tuning.measure_restarts(runner, tasks, seeds=size.paired, steps=steps)
    write_section(checkpoint, "restarts", restarts)
    runner.yardstick = yardstick_of(checkpoint)
    return await tuning.measure_drafts(runner, tasks, seeds=size.paired, shares=DRAFT_SHARES)


async def _choose(
    runner: Runner, size: Size, drafts: Mapping[float, DraftFit]
) -> tuple[list[TrialRow], tuple[Contender, ...]]:
    """Try settings of every contender on other tasks than those that are compared on; return the best of each."""
    trials: list[TrialRow] = []
    chosen = []
    for family in families(drafts, size.contenders):
        tried = family[: size.settings]
        if len(tried) > 1:
            trials += await tuning.try_settings(runner, _tuned(size), tried, size.compared)
        chosen.append(tuning.best_setting(tried, trials))
    return trials, tuple(chosen)


def _tuned(size: Size) -> range:
    return range(FIRST_TUNED, FIRST_TUNED + size.tuned)


async def _compare(
    runner: Runner, size: Size, trials: list[TrialRow], compared: tuple[Contender, ...], prices: Prices
) -> Results:
    """Compare the contenders. What matters most comes first: a study cut off has answered that."""
    tasks = range(FIRST_STUDIED, FIRST_STUDIED + size.tasks)
    fresh = await runner.over_tasks("fresh seeds", tasks, partial(fresh_rows, count=size.fresh))
    searches: list[SearchRow] = []

    async def race(contender: Contender, budget: int, noise_sd: float = 0.0) -> None:
        noise = f", noise {noise_sd:g} sd" if noise_sd else ""
        part = partial(search_rows, contender=contender, budget=budget, noise_sd=noise_sd)
        searches.extend(await runner.over_tasks(f"{contender.title} at {budget}{noise}", tasks, part))

    for budget in (size.compared, *(one for one in size.budgets if one != size.compared)):
        for contender in compared:
            await race(contender, budget)
    probes = await runner.over_tasks("moves", tasks, partial(probe_rows, parents=size.probed))
    for noise_sd in size.noises:
        for contender in compared:
            if contender.name in NOISY:
                await race(contender, size.compared, noise_sd)
    return Results(
        steps=runner.oracle.steps,
        compared=size.compared,
        yardstick=runner.yardstick,
        contenders=compared,
        trials=trials,
        prices=prices,
        fresh=fresh,
        searches=searches,
        probes=probes,
    )


def yardstick_of(checkpoint: Path, only: tuple[str, ...] | None = None) -> Yardstick:
    """Return what searches on a checkpoint climb, by the named sections of its calibration or by all."""
    data = json.loads((checkpoint / CALIBRATION_FILE).read_text(encoding="utf-8"))
    known = {name: data[name] for name in data if only is None or name in only}
    return Yardstick(Calibration.from_dict(known), ScoreMaps.from_calibration(known))

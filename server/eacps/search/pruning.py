"""Early pruning: previews of many candidates, whole trajectories of the promising ones (successive halving).

A candidate is seen early by what its trajectory would give if it stopped there (a preview), or by a draft: a coarse
trajectory of a few steps from the same noise. A draft tells more, and costs its own steps, but for the first.

A plan is worth what its best final picture is expected to be, at the price of the same number of denoising steps. That
follows from how well previews correlate with finals, which is measured for each checkpoint; where they tell too little,
or come too late, pruning does not pay and is switched off. Correlations say nothing of the best few, on whom it turns,
and promise too much: a plan is followed only where pruning was tried on this checkpoint, and paid.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np

from eacps.errors import FieldViolation, InvalidSearchSpec
from eacps.search.calibration import Calibration
from eacps.search.expectation import expected_maximum_of_normals

MIN_GAIN_SD = 0.05
"""Below this gain, in standard deviations of the potential, previews are not worth their decoding and scoring."""
_KEPT_SHARES = (1 / 8, 1 / 6, 1 / 4, 1 / 3, 1 / 2)
_SECOND_SHARES = (1 / 4, 1 / 2)
_REPETITIONS = 600
MAX_RUNGS = 3


class PruningMode(StrEnum):
    """Who decides."""

    AUTO = "auto"  # the checkpoint's calibration; off where pruning was not tried on it
    OFF = "off"
    FIXED = "fixed"  # the caller


@dataclass(frozen=True, slots=True)
class Pruning:
    """How a search prunes.

    Args:
        mode: Who decides.
        rungs: With ``FIXED``: share of the steps at which previews are made and share of the candidates kept there,
            each in ``(0, 1)``, shares of the steps ascending; 1 to 3 rungs.
        drafts: Whether the first rung is seen by drafts of so many steps instead of previews.

    Raises:
        InvalidSearchSpec: Names every invalid field.
    """

    mode: PruningMode = PruningMode.OFF
    rungs: tuple[tuple[float, float], ...] = ()
    drafts: bool = False

    def __post_init__(self) -> None:
        found = []
        if (self.mode is PruningMode.FIXED) != bool(self.rungs):
            found.append(FieldViolation("pruning.rungs", "are given exactly if the mode is fixed"))
        if self.drafts and self.mode is not PruningMode.FIXED:
            found.append(FieldViolation("pruning.drafts", "are made only if the mode is fixed"))
        if len(self.rungs) > MAX_RUNGS:
            found.append(FieldViolation("pruning.rungs", f"are {len(self.rungs)}, above {MAX_RUNGS}"))
        if any(not (0.0 < share < 1.0 and 0.0 < kept < 1.0) for share, kept in self.rungs):
            found.append(FieldViolation("pruning.rungs", "hold a share that is not in (0, 1)"))
        shares = [share for share, _ in self.rungs]
        if shares != sorted(set(shares)):
            found.append(FieldViolation("pruning.rungs", "are not in ascending order of the steps"))
        if found:
            raise InvalidSearchSpec(found)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {"mode": self.mode.value, "rungs": [list(rung) for rung in self.rungs], "drafts": self.drafts}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Pruning":
        """Restore from ``to_dict``'s form."""
        rungs = tuple((share, kept) for share, kept in data["rungs"])
        return cls(PruningMode(data["mode"]), rungs, data["drafts"])


@dataclass(frozen=True, slots=True)
class Rung:
    """Stop at a step, or draft in so many; keep a share in ``(0, 1)`` of the candidates there."""

    stop_step: int
    kept: float
    draft: bool = False

    @property
    def reached(self) -> int:
        """Steps of the full trajectory that are done by then."""
        return 1 if self.draft else self.stop_step


@dataclass(frozen=True, slots=True)
class PruningPlan:
    """What was decided.

    Args:
        rungs: In ascending order of the step; none where there is no pruning.
        steps: Of the full schedule.
        reason: Why, with the figures.
    """

    rungs: tuple[Rung, ...]
    steps: int
    reason: str

    @property
    def stops(self) -> tuple[int, ...]:
        """Steps at which a round's cohorts stop, the last one at the end."""
        return (*(rung.stop_step for rung in self.rungs), self.steps)

    def drafted(self, rung: int) -> bool:
        """Return whether a round's cohort number ``rung`` is of drafts."""
        return rung < len(self.rungs) and self.rungs[rung].draft

    @property
    def steps_per_candidate(self) -> float:
        """Denoising steps that a candidate costs on average."""
        return math.fsum(steps * kept for steps, kept in self._stretches())

    def candidates_for(self, trajectories: float) -> int:
        """Say how many candidates, at least one, can be pruned at the price of so many whole trajectories."""
        count = max(1, int(trajectories * self.steps / self.steps_per_candidate) + 1)
        while count > 1 and self.cost_of(count) > trajectories * self.steps + 1e-9:
            count -= 1
        return count

    def cost_of(self, candidates: int) -> int:
        """Denoising steps of so many candidates, pruned at every rung."""
        steps, before, alive = 0, 0, candidates
        for number, rung in enumerate(self.rungs):
            steps += alive * (rung.stop_step - before)
            before, alive = rung.reached, self.kept_after(number, alive) if alive else 0
        return steps + alive * (self.steps - before)

    def kept_after(self, rung: int, candidates: int) -> int:
        """Say how many of the candidates of a rung go on, at least one."""
        return max(1, int(candidates * self.rungs[rung].kept + 1e-9))

    def _stretches(self) -> Iterator[tuple[int, float]]:
        before, kept = 0, 1.0
        for rung in self.rungs:
            yield rung.stop_step - before, kept
            before, kept = rung.reached, kept * rung.kept
        yield self.steps - before, kept


def decide(
    pruning: Pruning, *, steps: int, trajectories: int, calibration: Calibration, strategy: str = ""
) -> PruningPlan:
    """Decide how a search prunes.

    Args:
        pruning: What was asked for.
        steps: Denoising steps of the full schedule.
        trajectories: What the search may cost, in whole trajectories.
        calibration: Of the checkpoint.
        strategy: Which it is.
    """
    if pruning.mode is PruningMode.OFF:
        return PruningPlan((), steps, "off by request")
    if pruning.mode is PruningMode.FIXED:
        rungs = {min(steps - 1, max(1, round(share * steps))): kept for share, kept in pruning.rungs}
        if steps < 2:
            return PruningPlan((), steps, "one step cannot be previewed")
        fixed = [Rung(stop, kept) for stop, kept in sorted(rungs.items())]
        fixed[0] = replace(fixed[0], draft=pruning.drafts)
        return PruningPlan(tuple(fixed), steps, "fixed by request")
    if not calibration.previews:
        return PruningPlan((), steps, "off: this checkpoint's previews were not calibrated")
    plan = planned(steps=steps, trajectories=trajectories, calibration=calibration)
    if not plan.rungs:
        return plan
    tried = calibration.pruning.get(strategy)
    if tried is None:
        return PruningPlan((), steps, f"off: on this checkpoint it was not tried with {strategy}")
    figures = f"tried on this checkpoint, the best was {tried.gain:+.2f} \N{PLUS-MINUS SIGN} {tried.se:.2f} sd higher"
    if tried.gain < MIN_GAIN_SD:
        return PruningPlan((), steps, f"does not pay: {figures}")
    return PruningPlan(plan.rungs, steps, f"{plan.reason}; {figures}")


def planned(*, steps: int, trajectories: int, calibration: Calibration) -> PruningPlan:
    """Return the plan that is expected to be best, by how previews correlate with finals; otherwise as `decide`."""
    return _decided(steps, trajectories, tuple(sorted(calibration.previews.items())))


@lru_cache(maxsize=256)
def _decided(steps: int, trajectories: int, previews: tuple[tuple[float, float], ...]) -> PruningPlan:
    plain = expected_maximum_of_normals(trajectories)
    calibration = Calibration(previews=dict(previews))
    correlations = {
        step: r for step in range(1, steps) if (r := calibration.preview_correlation(step / steps)) is not None
    }
    worth = [(expected_best_of_pruned(plan, trajectories, correlations), plan) for plan in _plans(steps, correlations)]
    best, plan = max(worth, key=lambda pair: pair[0], default=(plain, PruningPlan((), steps, "")))
    if best - plain < MIN_GAIN_SD:
        text = f"does not pay: the best of {trajectories} trajectories is expected {best - plain:+.2f} sd higher"
        return PruningPlan((), steps, text)
    words = ", ".join(f"{rung.kept:.2g} kept after step {rung.stop_step}" for rung in plan.rungs)
    return PruningPlan(plan.rungs, steps, f"{words}: best expected {best - plain:+.2f} sd higher at equal cost")


def _plans(steps: int, correlations: Mapping[int, float]) -> Iterator[PruningPlan]:
    for first in correlations:
        for kept in _KEPT_SHARES:
            yield PruningPlan((Rung(first, kept),), steps, "")
        for second in (step for step in correlations if step > first):
            for kept in _SECOND_SHARES:
                yield PruningPlan((Rung(first, kept), Rung(second, 0.5)), steps, "")


def expected_best_of_pruned(plan: PruningPlan, trajectories: int, correlations: Mapping[int, float]) -> float:
    """Expected final potential of the winner of one pruned round, in standard deviations above the mean.

    Finals are standard normals, previews correlate with them as ``correlations`` by step, and a preview depends on the
    next one only. Estimated over a fixed sample: equal arguments give equal results.
    """
    count = plan.candidates_for(trajectories)
    rng = np.random.default_rng(0)
    final = rng.standard_normal((_REPETITIONS, count))
    later, later_r, shown = final, 1.0, {}
    for rung in reversed(plan.rungs):
        r = min(1.0, correlations[rung.stop_step] / max(later_r, 1e-6))  # a later preview may have told nothing
        later = r * later + math.sqrt(1.0 - r * r) * rng.standard_normal(final.shape)
        later_r = correlations[rung.stop_step]
        shown[rung.stop_step] = later
    alive = np.tile(np.arange(count), (_REPETITIONS, 1))
    for number, rung in enumerate(plan.rungs):
        kept = plan.kept_after(number, alive.shape[1])
        seen = np.take_along_axis(shown[rung.stop_step], alive, axis=1)
        alive = np.take_along_axis(alive, np.argsort(-seen, axis=1)[:, :kept], axis=1)
    return float(np.take_along_axis(final, alive, axis=1).max(axis=1).mean())

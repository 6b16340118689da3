"""Ask/tell: the protocol between a search strategy and whoever evaluates its candidates, and its state machine.

    state      ask                                  tell                    stop           done
    ready      -> waiting, a cohort; or, where      illegal                 -> finished    False
               nothing is affordable, -> finished
    waiting    illegal                              -> ready or finished    illegal        False
    finished   illegal                              illegal                 illegal        True

An illegal move raises `IllegalSearchMove` and leaves the state as it was. Higher potentials are better. Nothing here
knows pictures, scorers, clocks or networks; randomness is one injected generator whose state is part of the snapshot.

A round is one generation of candidates. Without pruning it is one cohort of whole trajectories; with it, a cohort of
previews or drafts and one for each further rung, in which the promising go on.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from eacps.errors import FieldViolation, IllegalSearchMove, InvalidSearchSpec
from eacps.search.budget import UNBOUNDED, Allowance, StopReason
from eacps.search.cohort import (
    Candidate,
    Cohort,
    CohortKind,
    Evaluated,
    Failed,
    Move,
    Outcome,
    Ranked,
    RoundNote,
    Skipped,
    Trial,
    TrialKey,
    evaluations_of,
)
from eacps.search.context import SearchContext
from eacps.search.diversity import Diversity, LowDiversityPolicy, diversity_of
from eacps.search.objective import Objective
from eacps.search.potential import Potential
from eacps.search.pruning import PruningPlan, decide
from eacps.search.recipe import SEED_BOUND, Recipe
from eacps.search.snapshots import (
    cohort_from,
    cohort_to_dict,
    evaluated_from,
    evaluated_to_dict,
    rng_from,
    rng_to_dict,
)
from eacps.search.spec import Spec, spec_from_dict

SNAPSHOT_VERSION = 4
WIDENING = 1.5


class Strategy(Protocol):
    """What every search strategy offers."""

    @property
    def spec(self) -> Spec:
        """The settings it was made with."""

    @property
    def steps(self) -> int:
        """Denoising steps of the full schedule; a trial that stops there has the final picture."""

    @property
    def pending(self) -> Cohort | None:
        """The cohort that waits for its outcomes; after a restore the way to get it again."""

    @property
    def done(self) -> bool:
        """Whether nothing is left to ask."""

    @property
    def promising(self) -> tuple[str, ...]:
        """Ids of the previewed candidates that go on; none between rounds."""

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the search is done; None while it is not."""

    @property
    def objective(self) -> Objective:
        """What is climbed."""

    @property
    def pruning(self) -> PruningPlan:
        """How candidates are pruned, and why."""

    @property
    def restarts(self) -> bool:
        """Whether finished pictures may be restarted, for which their latents are needed."""

    @property
    def diversity(self) -> Diversity | None:
        """What the first cohort said of the seeds; None before it, or where it was too small."""

    def ask(self, allowance: Allowance = UNBOUNDED) -> Cohort | None:
        """Propose the next cohort, within what it may cost; None where nothing is affordable, and the search is done.

        Raises:
            IllegalSearchMove: The last cohort's outcomes were not reported, or the search is done.
        """

    def stop(self, reason: StopReason) -> None:
        """End the search here.

        Raises:
            IllegalSearchMove: A cohort is pending, or the search is done.
        """

    def tell(self, outcomes: Mapping[TrialKey, Outcome]) -> None:
        """Take in the outcomes of the pending cohort.

        Args:
            outcomes: One for every trial of the cohort, in any order. A trial that could not be evaluated is told as
                `Failed`; it is never ranked and never a parent.

        Raises:
            IllegalSearchMove: No cohort is pending, keys are missing or unknown, or a value is not an outcome.
        """

    def best(self) -> Ranked | None:
        """Return the best candidate so far, None while every full trajectory failed or none was reported."""

    def ranking(self) -> tuple[Ranked, ...]:
        """Rank all candidates with a potential for the full trajectory, best first; ties by order of proposal."""

    def history(self) -> tuple[Evaluated, ...]:
        """Return all trials reported so far with their outcomes, in order of proposal, failures included."""

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state as JSON-able values; `eacps.search.factory.restore` continues bit-identically."""


class AskTell(ABC):
    """State machine, memory and randomness that the strategies share; they add what to propose next.

    Args:
        spec: Settings.
        context: What the search is about and where it runs.
        rng: Source of all randomness, on a PCG64 bit generator (numpy's default); owned by the strategy from here on.

    Raises:
        InvalidSearchSpec: ``rng`` on another bit generator.
    """

    def __init__(self, spec: Spec, context: SearchContext, rng: np.random.Generator) -> None:
        if not isinstance(rng.bit_generator, np.random.PCG64):
            raise InvalidSearchSpec([FieldViolation("rng", "is not on a PCG64 bit generator")])
        self._spec, self._context, self._rng = spec, context, rng
        self._plan = decide(
            spec.pruning,
            steps=context.steps,
            trajectories=spec.total_candidates,
            calibration=context.calibration,
            strategy=spec.strategy,
        )
        self._generation = 0  # of the next round
        self._rung = 0  # of the next cohort within its round
        self._promising: tuple[str, ...] = ()  # ids of the candidates that go on to it
        self._pending: Cohort | None = None
        self._stop: StopReason | None = None
        self._history: list[Evaluated] = []
        self._first_seed = spec.seed % SEED_BOUND if spec.first_seed is None else spec.first_seed
        while self._first_seed in spec.avoided_seeds:
            self._first_seed = (self._first_seed + 1) % SEED_BOUND  # its noise is as independent as any other
        self._used_seeds = {self._first_seed, *spec.avoided_seeds}

    @property
    def spec(self) -> Spec:
        return self._spec

    @property
    def steps(self) -> int:
        return self._context.steps

    @property
    def objective(self) -> Objective:
        return self._context.objective

    @property
    def pruning(self) -> PruningPlan:
        return self._plan

    @property
    def restarts(self) -> bool:
        return False

    @property
    def pending(self) -> Cohort | None:
        return self._pending

    @property
    def promising(self) -> tuple[str, ...]:
        return self._promising

    @property
    def done(self) -> bool:
        return self._pending is None and (self._stop is not None or (self._rung == 0 and self._finished()))

    @property
    def stop_reason(self) -> StopReason | None:
        if self._stop is not None or not self.done:
            return self._stop
        return StopReason.COMPLETED

    @property
    def diversity(self) -> Diversity | None:
        first = self._known(
            lambda trial: (
                trial.candidate.generation == 0
                and trial.candidate.move is Move.EXPLORE
                and trial.stop_step == self._plan.stops[0]
            )
        )
        return diversity_of([known.value for _, known in first], self._context.calibration.landscape)

    def ask(self, allowance: Allowance = UNBOUNDED) -> Cohort | None:
        if self._pending is not None:
            raise IllegalSearchMove("ask: outcomes of the last cohort were not reported")
        if self.done:
            raise IllegalSearchMove("ask: the search is done")
        candidates = self._candidates()
        costs = self._costs(candidates)
        count, reason = allowance.affordable(costs)
        if count and self._gains_too_little(allowance.min_gain_per_trajectory, sum(costs) / self.steps):
            count, reason = 0, StopReason.LITTLE_GAIN
        if count == 0:
            self._stop = reason
            return None
        stop, draft = self._plan.stops[self._rung], self._plan.drafted(self._rung)
        trials = tuple(Trial(candidate, stop, draft) for candidate in candidates[:count])
        self._pending = Cohort(self._generation, trials, self._keep(count), self._note(candidates[:count]))
        return self._pending

    def tell(self, outcomes: Mapping[TrialKey, Outcome]) -> None:
        if self._pending is None:
            raise IllegalSearchMove("tell: no cohort is pending")
        _check_outcomes(self._pending, outcomes)
        reported = [Evaluated(trial, outcomes[trial.key]) for trial in self._pending.trials]
        self._history += reported
        self._pending = None
        self._promising = self._selected(reported) if self._rung < len(self._plan.rungs) else ()
        self._rung = self._rung + 1 if self._promising else 0
        if self._rung == 0:
            self._generation += 1
        if self._generation <= 1 and self._stops_for_low_diversity():
            self._stop = StopReason.LOW_DIVERSITY

    def stop(self, reason: StopReason) -> None:
        if self._pending is not None or self.done:
            raise IllegalSearchMove("stop: a cohort is pending, or the search is done")
        self._stop = reason

    def best(self) -> Ranked | None:
        return next(iter(self.ranking()), None)

    def ranking(self) -> tuple[Ranked, ...]:
        scored = self._known(lambda trial: trial.stop_step == self.steps)
        order = self.objective.order([known for _, known in scored])  # ties stay in order of proposal
        return tuple(Ranked(rank, *scored[place]) for rank, place in enumerate(order))

    def history(self) -> tuple[Evaluated, ...]:
        return tuple(self._history)

    def snapshot(self) -> dict[str, Any]:
        return {
            "version": SNAPSHOT_VERSION,
            "spec": self._spec.to_dict(),
            "context": self._context.to_dict(),
            "generation": self._generation,
            "rung": self._rung,
            "promising": list(self._promising),
            "stop": None if self._stop is None else self._stop.value,
            "rng": rng_to_dict(self._rng),
            "history": [evaluated_to_dict(one) for one in self._history],
            "pending": None if self._pending is None else cohort_to_dict(self._pending),
        }

    @classmethod
    def restore(cls, snapshot: Mapping[str, Any]) -> Self:
        """Continue from a snapshot; `eacps.search.factory.restore` finds the class to call this on.

        Raises:
            InvalidSearchSpec: The snapshot is of another version or malformed.
        """
        if snapshot.get("version") != SNAPSHOT_VERSION:
            raise InvalidSearchSpec([FieldViolation("snapshot.version", f"is not {SNAPSHOT_VERSION}")])
        try:
            context = SearchContext.from_dict(snapshot["context"])
            strategy = cls(cls._spec_from(snapshot["spec"]), context, rng_from(snapshot["rng"]))
            strategy._recall(snapshot)
        except (AttributeError, IllegalSearchMove, KeyError, TypeError, ValueError) as exc:
            raise InvalidSearchSpec([FieldViolation("snapshot", f"is malformed: {exc!r}")]) from exc
        return strategy

    @classmethod
    def _spec_from(cls, data: Mapping[str, Any]) -> Any:  # the kind of settings that this class takes
        return spec_from_dict(data)

    def _recall(self, snapshot: Mapping[str, Any]) -> None:
        self._generation, self._rung = snapshot["generation"], snapshot["rung"]
        self._promising = tuple(snapshot["promising"])
        self._stop = None if snapshot["stop"] is None else StopReason(snapshot["stop"])
        self._history = [evaluated_from(data) for data in snapshot["history"]]
        if snapshot["pending"] is not None:
            self._pending = cohort_from(snapshot["pending"])
        known = [one.trial for one in self._history] + list(self._pending.trials if self._pending else ())
        self._used_seeds.update(seed for trial in known for seed in trial.candidate.recipe.seeds)

    @abstractmethod
    def _finished(self) -> bool:
        """Whether no round is left to propose; asked only between rounds."""

    @abstractmethod
    def _propose(self) -> list[Candidate]:
        """Make the candidates of generation ``self._generation``: at least one, ids by ``self._id``."""

    def _selected(self, reported: list[Evaluated]) -> tuple[str, ...]:
        """Name the candidates of a preview cohort that go on, the most promising first; none where all failed."""
        known = [(one.trial.candidate, one.outcome) for one in reported if isinstance(one.outcome, Potential)]
        utilities = self._promise(known)
        kept = self._plan.kept_after(self._rung, len(reported))
        order = np.argsort(-utilities, kind="stable")[:kept]
        return tuple(known[place][0].id for place in order)

    def _promise(self, previews: list[tuple[Candidate, Potential]]) -> NDArray[np.float64]:
        """How promising previewed candidates are, ``[N]``, higher is better."""
        return self.objective.utilities([known for _, known in previews])

    def _note(self, candidates: list[Candidate]) -> RoundNote:
        """Say why a cohort is as it is."""
        fresh = sum(candidate.move is Move.EXPLORE for candidate in candidates)
        crossovers = sum(candidate.move is Move.CROSSOVER for candidate in candidates)
        kind = CohortKind.EXPLORE if fresh == len(candidates) else CohortKind.LOCAL
        return RoundNote(CohortKind.FINISH if self._rung else kind, fresh, crossovers)

    def _expected_gain(self) -> float | None:
        """By how much the round just proposed is expected to raise the best; None where nothing is expected."""
        return None

    def _gains_too_little(self, least: float | None, trajectories: float) -> bool:
        gain = self._expected_gain()
        return self._rung == 0 and least is not None and gain is not None and gain < least * trajectories

    def _parents_wanted(self) -> int:
        """How many of a round's candidates the next round selects."""
        return 1

    def _stops_for_low_diversity(self) -> bool:
        if self._spec.low_diversity is not LowDiversityPolicy.STOP or self._generation != 1 or self._finished():
            return False
        return self.low_diversity

    @property
    def low_diversity(self) -> bool:
        """Whether the first cohort's seeds hardly differed."""
        found = self.diversity
        return found is not None and found.low

    @property
    def _widening(self) -> float:
        """Factor on local angles: above 1 where seeds hardly differ and the spec asks to go further."""
        return WIDENING if self._spec.low_diversity is LowDiversityPolicy.WIDEN and self.low_diversity else 1.0

    def _candidates(self) -> list[Candidate]:
        if self._rung == 0:
            return self._propose()
        known = {one.trial.candidate.id: one.trial.candidate for one in self._history}
        return [known[candidate_id] for candidate_id in self._promising]

    def _costs(self, candidates: list[Candidate]) -> list[int]:
        """Denoising steps that each candidate of the next cohort costs; of previews with what follows from them."""
        stops, count = self._plan.stops, len(candidates)
        if not self._plan.rungs:
            return [candidate.evaluations(self.steps) for candidate in candidates]
        if self._rung == 0 and self._plan.rungs:
            whole = [self._plan.cost_of(number) for number in range(count + 1)]
            return [after - before for before, after in itertools.pairwise(whole)]
        before = self._plan.rungs[self._rung - 1].reached if self._rung else 0
        return [stops[self._rung] - before] * count

    def _keep(self, count: int) -> int:
        if self._rung < len(self._plan.rungs):
            return self._plan.kept_after(self._rung, count)
        return self._parents_wanted()

    def _affordable(self, trajectories: int) -> int:
        """How many candidates the next round proposes, if all rounds with it may cost so many whole trajectories."""
        return self._plan.candidates_for(trajectories - self._steps_done() / self.steps)

    def _steps_done(self) -> int:
        """Denoising steps of all reported trials, failures included."""
        return evaluations_of(one.trial for one in self._history)

    def _known(self, wanted: Callable[[Trial], bool]) -> list[tuple[Candidate, Potential]]:
        """Give ranked candidates whose trials are wanted, in order of proposal."""
        return [
            (one.trial.candidate, one.outcome)
            for one in self._history
            if isinstance(one.outcome, Potential) and self.objective.takes(one.outcome) and wanted(one.trial)
        ]

    def _id(self, index: int) -> str:
        return f"g{self._generation}-{index:03d}"

    def _explore(self, count: int, *, start: int = 0) -> list[Candidate]:
        """Make ``count`` candidates of fresh seeds, numbered from ``start``; the very first has the pinned seed."""
        candidates = []
        for index in range(start, start + count):
            pinned = self._generation == 0 and index == 0
            seed = self._first_seed if pinned else self._fresh_seed()
            recipe = Recipe.from_seed(seed)
            candidates.append(Candidate(self._id(index), recipe, (), self._generation, Move.EXPLORE))
        return candidates

    def _fresh_seed(self) -> int:
        """Draw a seed that this search has not used, and count it as used."""
        while True:
            seed = int(self._rng.integers(SEED_BOUND))
            if seed not in self._used_seeds:
                self._used_seeds.add(seed)
                return seed


def _check_outcomes(cohort: Cohort, outcomes: Mapping[TrialKey, Outcome]) -> None:
    keys = set(outcomes)
    if missing := sorted(cohort.keys - keys, key=str):
        raise IllegalSearchMove(f"tell: no outcome for {missing}")
    if unknown := sorted(keys - cohort.keys, key=str):
        raise IllegalSearchMove(f"tell: not asked about {unknown}")
    for key, outcome in outcomes.items():
        if not isinstance(outcome, Potential | Failed | Skipped):
            raise IllegalSearchMove(f"tell: {key} got {outcome!r}, no outcome")

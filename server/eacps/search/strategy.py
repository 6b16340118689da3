"""Ask/tell: the protocol between a search strategy and whoever evaluates its candidates, and its state machine.

    state      ask                                  tell                    stop           done
    ready      -> waiting, a cohort; or, where      illegal                 -> finished    False
               nothing is affordable, -> finished
    waiting    illegal                              -> ready or finished    illegal        False
    finished   illegal                              illegal                 illegal        True

An illegal move raises `IllegalSearchMove` and leaves the state as it was. Higher potentials are better. Nothing here
knows pictures, scorers, clocks or networks; randomness is one injected generator whose state is part of the snapshot.

A round is one generation of candidates, and one cohort.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

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
)
from eacps.search.context import SearchContext
from eacps.search.diversity import Diversity, LowDiversityPolicy, diversity_of
from eacps.search.objective import Objective
from eacps.search.potential import Potential
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

SNAPSHOT_VERSION = 5
WIDENING = 1.5


class Strategy(ABC):
    """A search strategy: state machine, memory and randomness; subclasses add what to propose next.

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
        self._generation = 0  # of the next round
        self._pending: Cohort | None = None
        self._stop: StopReason | None = None
        self._history: list[Evaluated] = []
        self._first_seed = spec.seed % SEED_BOUND if spec.first_seed is None else spec.first_seed
        while self._first_seed in spec.avoided_seeds:
            self._first_seed = (self._first_seed + 1) % SEED_BOUND  # its noise is as independent as any other
        self._used_seeds = {self._first_seed, *spec.avoided_seeds}

    @property
    def spec(self) -> Spec:
        """The settings it was made with."""
        return self._spec

    @property
    def steps(self) -> int:
        """Denoising steps of the full schedule."""
        return self._context.steps

    @property
    def objective(self) -> Objective:
        """What is climbed."""
        return self._context.objective

    @property
    def restarts(self) -> bool:
        """Whether finished pictures may be restarted, for which their latents are needed."""
        return False

    @property
    def pending(self) -> Cohort | None:
        """The cohort that waits for its outcomes; after a restore the way to get it again."""
        return self._pending

    @property
    def done(self) -> bool:
        """Whether nothing is left to ask."""
        return self._pending is None and (self._stop is not None or self._finished())

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the search is done; None while it is not."""
        if self._stop is not None or not self.done:
            return self._stop
        return StopReason.COMPLETED

    @property
    def diversity(self) -> Diversity | None:
        """What the first cohort said of the seeds; None before it, or where it was too small."""
        first = [
            known.value
            for candidate, known in self._known()
            if candidate.generation == 0 and candidate.move is Move.EXPLORE
        ]
        return diversity_of(first, self._context.calibration.landscape)

    def ask(self, allowance: Allowance = UNBOUNDED) -> Cohort | None:
        """Propose the next cohort, within what it may cost; None where nothing is affordable, and the search is done.

        Raises:
            IllegalSearchMove: The last cohort's outcomes were not reported, or the search is done.
        """
        if self._pending is not None:
            raise IllegalSearchMove("ask: outcomes of the last cohort were not reported")
        if self.done:
            raise IllegalSearchMove("ask: the search is done")
        candidates = self._propose()
        costs = [candidate.evaluations(self.steps) for candidate in candidates]
        count, reason = allowance.affordable(costs)
        if count and self._gains_too_little(allowance.min_gain_per_trajectory, sum(costs) / self.steps):
            count, reason = 0, StopReason.LITTLE_GAIN
        if count == 0:
            self._stop = reason
            return None
        taken = tuple(candidates[:count])
        self._pending = Cohort(self._generation, taken, self._parents_wanted(), self._note(taken))
        return self._pending

    def tell(self, outcomes: Mapping[str, Outcome]) -> None:
        """Record the outcomes of the pending cohort.

        Args:
            outcomes: One for every candidate of the cohort, by id. A candidate that could not be evaluated is told as
                `Failed`; it is never ranked and never a parent.

        Raises:
            IllegalSearchMove: No cohort is pending, ids are missing or unknown, or a value is not an outcome.
        """
        if self._pending is None:
            raise IllegalSearchMove("tell: no cohort is pending")
        _check_outcomes(self._pending, outcomes)
        self._history += [Evaluated(candidate, outcomes[candidate.id]) for candidate in self._pending.candidates]
        self._pending = None
        self._generation += 1
        if self._stops_for_low_diversity():
            self._stop = StopReason.LOW_DIVERSITY

    def stop(self, reason: StopReason) -> None:
        """End the search here.

        Raises:
            IllegalSearchMove: A cohort is pending, or the search is done.
        """
        if self._pending is not None or self.done:
            raise IllegalSearchMove("stop: a cohort is pending, or the search is done")
        self._stop = reason

    def best(self) -> Ranked | None:
        """Return the best candidate so far, None while every one failed or none was reported."""
        return next(iter(self.ranking()), None)

    def ranking(self) -> tuple[Ranked, ...]:
        """Rank all candidates with a potential, best first; ties by order of proposal."""
        scored = self._known()
        order = self.objective.order([known for _, known in scored])  # ties stay in order of proposal
        return tuple(Ranked(rank, *scored[index]) for rank, index in enumerate(order))

    def history(self) -> tuple[Evaluated, ...]:
        """Return all candidates reported so far with their outcomes, in order of proposal, failures included."""
        return tuple(self._history)

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state as JSON-able values; `eacps.search.factory.restore` continues bit-identically."""
        return {
            "version": SNAPSHOT_VERSION,
            "spec": self._spec.to_dict(),
            "context": self._context.to_dict(),
            "generation": self._generation,
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
        self._generation = snapshot["generation"]
        self._stop = None if snapshot["stop"] is None else StopReason(snapshot["stop"])
        self._history = [evaluated_from(data) for data in snapshot["history"]]
        if snapshot["pending"] is not None:
            self._pending = cohort_from(snapshot["pending"])
        known = [*self._proposed(), *(self._pending.candidates if self._pending else ())]
        self._used_seeds.update(seed for candidate in known for seed in candidate.recipe.seeds)

    @abstractmethod
    def _finished(self) -> bool:
        """Whether no round is left to propose."""

    @abstractmethod
    def _propose(self) -> list[Candidate]:
        """Make the candidates of generation ``self._generation``: at least one, ids by ``self._id``."""

    def _note(self, candidates: Sequence[Candidate]) -> RoundNote:
        """Return why the cohort was chosen."""
        fresh = sum(candidate.move is Move.EXPLORE for candidate in candidates)
        crossovers = sum(candidate.move is Move.CROSSOVER for candidate in candidates)
        kind = CohortKind.EXPLORE if fresh == len(candidates) else CohortKind.LOCAL
        return RoundNote(kind, fresh, crossovers)

    def _expected_gain(self) -> float | None:
        """By how much the round just proposed is expected to raise the best; None where nothing is expected."""
        return None

    def _gains_too_little(self, least: float | None, trajectories: float) -> bool:
        gain = self._expected_gain()
        return least is not None and gain is not None and gain < least * trajectories

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

    def _proposed(self) -> list[Candidate]:
        """Return all candidates with an outcome, in order of proposal."""
        return [one.candidate for one in self._history]

    def _known(self) -> list[tuple[Candidate, Potential]]:
        """Return ranked candidates, in order of proposal."""
        return [
            (one.candidate, one.outcome)
            for one in self._history
            if isinstance(one.outcome, Potential) and self.objective.takes(one.outcome)
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


def _check_outcomes(cohort: Cohort, outcomes: Mapping[str, Outcome]) -> None:
    ids = set(outcomes)
    if missing := sorted(cohort.ids - ids):
        raise IllegalSearchMove(f"tell: no outcome for {missing}")
    if unknown := sorted(ids - cohort.ids, key=str):
        raise IllegalSearchMove(f"tell: not asked about {unknown}")
    for name, outcome in outcomes.items():
        if not isinstance(outcome, Potential | Failed | Skipped):
            raise IllegalSearchMove(f"tell: {name} got {outcome!r}, no outcome")

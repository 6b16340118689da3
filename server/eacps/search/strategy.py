"""Ask/tell: the protocol between a search strategy and whoever evaluates its candidates, and its state machine.

    state      ask                    tell                    done
    ready      -> waiting, a cohort   illegal                 False
    waiting    illegal                -> ready or finished    False
    finished   illegal                illegal                 True

An illegal move raises `IllegalSearchMove` and leaves the state as it was. Higher potentials are better. Nothing here
knows pictures, scorers, clocks or networks; randomness is one injected generator whose state is part of the snapshot.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy as np

from eacps.errors import FieldViolation, IllegalSearchMove, InvalidSearchSpec
from eacps.search.cohort import Candidate, Cohort, Evaluated, Failed, Move, Outcome, Ranked, Trial, TrialKey
from eacps.search.potential import Potential
from eacps.search.recipe import SEED_BOUND, Recipe
from eacps.search.spec import SearchSpec, spec_from_dict

SNAPSHOT_VERSION = 1


class Strategy(Protocol):
    """What every search strategy offers."""

    @property
    def spec(self) -> SearchSpec:
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

    def ask(self) -> Cohort:
        """Propose the next cohort.

        Raises:
            IllegalSearchMove: The last cohort's outcomes were not told, or the search is done.
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
        """Give the best candidate so far, None while every full trajectory failed or none was told."""

    def ranking(self) -> tuple[Ranked, ...]:
        """Rank all candidates with a potential for the full trajectory, best first; ties by order of proposal."""

    def history(self) -> tuple[Evaluated, ...]:
        """Give all trials told so far with their outcomes, in order of proposal, failures included."""

    def snapshot(self) -> dict[str, Any]:
        """Give the whole state as JSON-able values; `eacps.search.factory.restore` continues bit-identically."""


class AskTell(ABC):
    """State machine, memory and randomness that the strategies share; they add what to propose next.

    Args:
        spec: Settings.
        steps: Denoising steps of the full schedule, at least 1.
        rng: Source of all randomness, on a PCG64 bit generator (numpy's default); owned by the strategy from here on.

    Raises:
        InvalidSearchSpec: ``steps`` below 1, or ``rng`` on another bit generator.
    """

    def __init__(self, spec: SearchSpec, *, steps: int, rng: np.random.Generator) -> None:
        if steps < 1:
            raise InvalidSearchSpec([FieldViolation("steps", f"is {steps}, below 1")])
        if not isinstance(rng.bit_generator, np.random.PCG64):
            raise InvalidSearchSpec([FieldViolation("rng", "is not on a PCG64 bit generator")])
        self._spec, self._steps, self._rng = spec, steps, rng
        self._generation = 0  # of the next cohort
        self._pending: Cohort | None = None
        self._history: list[Evaluated] = []
        self._first_seed = spec.seed % SEED_BOUND if spec.first_seed is None else spec.first_seed
        self._used_seeds = {self._first_seed}

    @property
    def spec(self) -> SearchSpec:
        return self._spec

    @property
    def steps(self) -> int:
        return self._steps

    @property
    def pending(self) -> Cohort | None:
        return self._pending

    @property
    def done(self) -> bool:
        return self._pending is None and self._finished()

    def ask(self) -> Cohort:
        if self._pending is not None:
            raise IllegalSearchMove("ask: outcomes of the last cohort were not told")
        if self._finished():
            raise IllegalSearchMove("ask: the search is done")
        trials = tuple(Trial(candidate, self._steps) for candidate in self._propose())
        self._pending = Cohort(self._generation, trials)
        return self._pending

    def tell(self, outcomes: Mapping[TrialKey, Outcome]) -> None:
        if self._pending is None:
            raise IllegalSearchMove("tell: no cohort is pending")
        _check_outcomes(self._pending, outcomes)
        self._history += [Evaluated(trial, outcomes[trial.key]) for trial in self._pending.trials]
        self._pending = None
        self._generation += 1

    def best(self) -> Ranked | None:
        return next(iter(self.ranking()), None)

    def ranking(self) -> tuple[Ranked, ...]:
        scored = [
            (one.trial.candidate, one.outcome)
            for one in self._history
            if one.trial.stop_step == self._steps and isinstance(one.outcome, Potential)
        ]
        scored.sort(key=lambda pair: -pair[1].value)  # stable: ties stay in order of proposal
        return tuple(Ranked(rank, candidate, value) for rank, (candidate, value) in enumerate(scored))

    def history(self) -> tuple[Evaluated, ...]:
        return tuple(self._history)

    def snapshot(self) -> dict[str, Any]:
        pending = None if self._pending is None else [_trial_to_dict(trial) for trial in self._pending.trials]
        return {
            "version": SNAPSHOT_VERSION,
            "spec": self._spec.to_dict(),
            "steps": self._steps,
            "generation": self._generation,
            "rng": _rng_to_dict(self._rng),
            "history": [{**_trial_to_dict(one.trial), **_outcome_to_dict(one.outcome)} for one in self._history],
            "pending": pending,
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
            strategy = cls(spec_from_dict(snapshot["spec"]), steps=snapshot["steps"], rng=_rng_from(snapshot["rng"]))
            strategy._recall(snapshot)
        except (AttributeError, IllegalSearchMove, KeyError, TypeError, ValueError) as exc:
            raise InvalidSearchSpec([FieldViolation("snapshot", f"is malformed: {exc!r}")]) from exc
        return strategy

    def _recall(self, snapshot: Mapping[str, Any]) -> None:
        self._generation = snapshot["generation"]
        self._history = [Evaluated(_trial_from(data), _outcome_from(data)) for data in snapshot["history"]]
        if snapshot["pending"] is not None:
            self._pending = Cohort(self._generation, tuple(_trial_from(data) for data in snapshot["pending"]))
        known = [one.trial for one in self._history] + list(self._pending.trials if self._pending else ())
        self._used_seeds.update(seed for trial in known for seed in trial.candidate.recipe.seeds)

    @abstractmethod
    def _finished(self) -> bool:
        """Whether nothing is left to propose; asked only while no cohort is pending."""

    @abstractmethod
    def _propose(self) -> list[Candidate]:
        """Make the candidates of generation ``self._generation``: at least one, ids by ``self._id``."""

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
        if not isinstance(outcome, Potential | Failed):
            raise IllegalSearchMove(f"tell: {key} got {outcome!r}, neither Potential nor Failed")


def _trial_to_dict(trial: Trial) -> dict[str, Any]:
    return {"candidate": trial.candidate.to_dict(), "stop_step": trial.stop_step}


def _trial_from(data: Mapping[str, Any]) -> Trial:
    return Trial(Candidate.from_dict(data["candidate"]), data["stop_step"])


def _outcome_to_dict(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Failed):
        return {"failed": outcome.reason}
    return {"value": outcome.value, "missing": list(outcome.missing)}


def _outcome_from(data: Mapping[str, Any]) -> Outcome:
    if "failed" in data:
        return Failed(data["failed"])
    missing = tuple(data["missing"])
    return Potential(data["value"], complete=not missing, missing=missing)


def _rng_to_dict(rng: np.random.Generator) -> dict[str, Any]:
    state = rng.bit_generator.state
    # 128-bit numbers go as text: many JSON readers know no ints that long.
    numbers = {name: str(number) for name, number in state["state"].items()}
    return {**state, "state": numbers}


def _rng_from(data: Mapping[str, Any]) -> np.random.Generator:
    bits = np.random.PCG64(0)  # whatever the seed, the state below replaces it
    # Any: numpy types the state of PCG64 more narrowly than a snapshot can promise; the setter checks it.
    state: Any = {**data, "state": {name: int(number) for name, number in data["state"].items()}}
    bits.state = state
    return np.random.Generator(bits)

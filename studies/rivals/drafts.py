"""Drafts: a coarse trajectory from the same noise says which candidates are worth a full one.

After Flash-BoN (arXiv 2607.04461, github.com/flash-bon/flash-bon): cheap drafts, of which about four are refined from
a state that the draft had passed, beat guided searches by wall clock. There drafts skip layers and reuse activations;
here they have a coarse schedule, of which the first evaluation alone is shared. Its steps, and how many drafts are run
in full, are tried on other tasks.

The adaptive search takes drafts as noisy observations of their recipes. Where it also restarts finished pictures, which
costs no more than a draft, only the fresh seeds of its first round are drafted; those that were not run in full are
observations and nothing more. (They were offered to later rounds at the price of the rest of their steps, and none ever
took one.)

A draft and the full trajectory share their first evaluation, of the noise itself, which is counted once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar, Final

import numpy as np

from eacps.arrays import Float64
from eacps.search.budget import UNBOUNDED, Allowance
from eacps.search.cohort import Candidate, Cohort, Evaluated, Outcome
from eacps.search.context import SearchContext
from eacps.search.diversity import Diversity, diversity_of
from eacps.search.eacps_adaptive import EacpsAdaptive
from eacps.search.landscape import LandscapeModel, Observation
from eacps.search.potential import Potential
from eacps.search.snapshots import evaluated_from, evaluated_to_dict
from eacps.search.spec import AdaptiveSpec, Spec
from eacps.search.strategy import Strategy
from studies.rivals.settings import DraftedAdaptiveSpec, DraftedBestOfNSpec, DraftedSpec, RivalSpec

_LEAST_KEPT: Final = 4
"""Of the drafts of best-of-N, as many as its authors refine."""


@dataclass(frozen=True, slots=True)
class DraftCohort(Cohort):
    """Candidates to be drafted.

    Args:
        steps: Of a draft's own schedule.
    """

    steps: int = 1


class Drafting(Strategy):
    """Rounds of two cohorts: drafts, then full trajectories of the promising candidates.

    Args:
        spec: Settings of the search.
        context: What the search is about.
        rng: Source of all randomness, on PCG64.
    """

    kind: ClassVar[type[RivalSpec]]
    """Of its settings."""
    _draft: DraftedSpec

    def __init__(self, spec: Spec, context: SearchContext, rng: np.random.Generator) -> None:
        super().__init__(spec, context, rng)
        self._drafts: list[Evaluated] = []
        self._promising: list[Candidate] = []

    @classmethod
    def _spec_from(cls, data: Mapping[str, Any]) -> Any:
        return cls.kind.from_dict(data)

    def ask(self, allowance: Allowance = UNBOUNDED) -> Cohort | None:
        """See `Strategy.ask`."""
        cohort = super().ask(allowance)
        if cohort is not None and self._is_drafted(cohort):
            self._pending = self._drafted(cohort)
        return self._pending

    def tell(self, outcomes: Mapping[str, Outcome]) -> None:
        """See `Strategy.tell`. Drafts are no part of the history, and no results."""
        cohort = self._pending
        super().tell(outcomes)
        self._promising = []
        if isinstance(cohort, DraftCohort):
            reported = self._history[-len(cohort.candidates) :]
            del self._history[-len(cohort.candidates) :]
            self._drafts += reported
            self._promising = self._selected(reported)
            self._generation -= bool(self._promising)  # its round goes on

    @property
    def diversity(self) -> Diversity | None:
        """By all candidates of the first round, not by the promising alone."""
        first = [known.value for candidate, known in self._known_in(self._drafts) if not candidate.generation]
        return diversity_of(first, self._context.calibration.landscape)

    def snapshot(self) -> dict[str, Any]:
        """See `Strategy.snapshot`."""
        drafts = [evaluated_to_dict(one) for one in self._drafts]
        return super().snapshot() | {"drafts": drafts, "promising": [one.id for one in self._promising]}

    def _recall(self, snapshot: Mapping[str, Any]) -> None:
        self._drafts = [evaluated_from(data) for data in snapshot["drafts"]]
        super()._recall(snapshot)
        known = {one.id: one for one in self._proposed()}
        self._promising = [known[name] for name in snapshot["promising"]]
        if self._pending is not None and self._is_drafted(self._pending):
            self._pending = self._drafted(self._pending)

    def _is_drafted(self, cohort: Cohort) -> bool:
        """Whether drafts of a cohort come first; not where all of them would be run in full."""
        count = len(cohort.candidates)
        return not self._promising and self._drafts_now() and self._kept(count) < count

    def _drafted(self, cohort: Cohort) -> DraftCohort:
        kept = self._kept(len(cohort.candidates))
        return DraftCohort(cohort.generation, cohort.candidates, kept, cohort.note, self._draft_steps)

    @property
    def _draft_steps(self) -> int:
        return min(self.steps - 1, max(1, round(self._draft.steps_share * self.steps)))

    def _kept(self, count: int) -> int:
        return max(1, int(count * self._draft.kept_share + 1e-9))

    def _finished(self) -> bool:
        return not self._promising and self._over()

    def _propose(self) -> list[Candidate]:
        return self._promising or self._to_draft()

    def _proposed(self) -> list[Candidate]:
        return list(dict.fromkeys(one.candidate for one in (*self._drafts, *self._history)))

    def _drafts_now(self) -> bool:
        """Whether the candidates of the round that is next are drafted."""
        return True

    def _affordable(self, steps: int) -> int:
        """How many candidates so many denoising steps pay for, at least one: drafts, and the kept ones in full."""
        count = max(1, steps // self._draft_steps)
        while count > 1 and self._cost(count) > steps:
            count -= 1
        return count

    def _cost(self, count: int) -> int:
        kept = self._kept(count)
        return count * self._draft_steps + kept * (self.steps - 1) if kept < count else count * self.steps

    def _selected(self, drafts: list[Evaluated]) -> list[Candidate]:
        """The candidates that are run in full, the most promising first; none where all failed."""
        known = self._known_in(drafts)
        order = np.argsort(-self._promise(known), kind="stable") if known else ()
        return [known[index][0] for index in order[: self._kept(len(drafts))]]

    def _promise(self, drafts: list[tuple[Candidate, Potential]]) -> Float64:
        """How promising drafted candidates are, ``[N]``, higher is better."""
        return self.objective.utilities([known for _, known in drafts])

    def _known_in(self, evaluated: list[Evaluated]) -> list[tuple[Candidate, Potential]]:
        return [(one.candidate, one.outcome) for one in evaluated if isinstance(one.outcome, Potential)]

    @abstractmethod
    def _over(self) -> bool:
        """Whether no round is left to propose."""

    @abstractmethod
    def _to_draft(self) -> list[Candidate]:
        """Make the candidates of the next round."""


class DraftedBestOfN(Drafting):
    """Independent seeds, drafted, of which the promising are run in full."""

    kind: ClassVar[type[RivalSpec]] = DraftedBestOfNSpec

    def __init__(self, spec: DraftedBestOfNSpec, context: SearchContext, rng: np.random.Generator) -> None:
        super().__init__(spec, context, rng)
        self._draft = spec

    def _kept(self, count: int) -> int:
        return min(count, max(_LEAST_KEPT, super()._kept(count)))

    def _over(self) -> bool:
        return self._generation > 0

    def _to_draft(self) -> list[Candidate]:
        return self._explore(self._affordable(self._draft.candidates * self.steps))


class DraftedAdaptive(Drafting, EacpsAdaptive):
    """The adaptive search whose model knows drafts too; without restarts, drafted candidates may have children.

    Restarts begin as late as in the search without drafts.
    """

    kind: ClassVar[type[RivalSpec]] = DraftedAdaptiveSpec

    def __init__(self, spec: DraftedAdaptiveSpec, context: SearchContext, rng: np.random.Generator) -> None:
        rounds = max(1, spec.rounds - 1)
        settings = AdaptiveSpec(spec.seed, spec.candidates, spec.first_share, rounds, restarts=spec.restarts)
        super().__init__(settings, context, rng)
        self._spec = self._draft = spec

    def _over(self) -> bool:
        return EacpsAdaptive._finished(self)

    def _to_draft(self) -> list[Candidate]:
        return EacpsAdaptive._propose(self)

    def _drafts_now(self) -> bool:
        return not (self.restarts and self._generation)

    def _affordable(self, steps: int) -> int:
        return super()._affordable(steps) if self._drafts_now() else EacpsAdaptive._affordable(self, steps)

    def _steps_done(self) -> int:
        drafted = {one.candidate.id for one in self._drafts}
        run = (one.candidate.evaluations(self.steps) - (one.candidate.id in drafted) for one in self._history)
        return len(self._drafts) * self._draft_steps + sum(run)

    def _promise(self, drafts: list[tuple[Candidate, Potential]]) -> Float64:
        """What the model, which knows the parents too, expects of the full trajectories."""
        model = LandscapeModel(self._observations(), self._context.calibration.landscape)
        return model.predict([candidate.recipe for candidate, _ in drafts])[0]

    def _observations(self) -> list[Observation]:
        """What is known of every recipe; drafts on the scale of full trajectories, and as noisy as they correlate."""
        finals = {candidate.id: known.value for candidate, known in self._known()}
        drafts = self._known_in(self._drafts)
        if not drafts:
            return super()._observations()
        draft_mean, final_mean = self._means(drafts, finals)
        # Of the error of y = final + error, the model knows that E[final | y] rises by r^2 with y; it is to rise by the
        # slope with the draft.
        noise, scale = 1.0 / self._draft.correlation**2 - 1.0, self._draft.slope / self._draft.correlation**2
        return [
            *super()._observations(),
            *(
                Observation(candidate.recipe, final_mean + scale * (known.value - draft_mean), noise)
                for candidate, known in drafts
                if candidate.id not in finals
            ),
        ]

    def _means(self, drafts: list[tuple[Candidate, Potential]], finals: Mapping[str, float]) -> tuple[float, float]:
        """Means of the first round's drafts and of their full trajectories, most of which were not run.

        Those that were run are the promising ones. That a line of known slope goes through them remains true of all.
        """
        first = [draft for draft in drafts if not draft[0].generation] or drafts
        mean, slope = fmean(known.value for _, known in first), self._draft.slope
        run = [finals[one.id] - slope * (known.value - mean) for one, known in first if one.id in finals]
        return mean, fmean(run) if run else mean

    def _likely_parents(self) -> list[Candidate]:
        run = {one.candidate.id for one in self._history}
        drafted = [candidate for candidate, _ in self._known_in(self._drafts) if candidate.id not in run]
        return [*super()._likely_parents(), *([] if self.restarts else drafted)]

"""Adaptive EACPS: after a first round of fresh seeds, a model of the landscape chooses every candidate of every round.

Each round weighs fresh seeds, children of the best at several angles, and children of two parents, and takes greedily
what raises the expected maximum of the round most. Wide moves while little is known, close ones once a parent is far
above the mean, fresh seeds again where local moves stop paying: annealing follows from the evidence.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eacps.search.budget import UNBOUNDED, Allowance
from eacps.search.cohort import Candidate, Cohort, Move, RoundNote
from eacps.search.context import Context
from eacps.search.expectation import BatchValue, reach
from eacps.search.landscape import LandscapeModel, Observation
from eacps.search.potential import Potential
from eacps.search.recipe import Recipe, correlation, cross, perturb
from eacps.search.spec import AdaptiveSpec
from eacps.search.strategy import AskTell

ANGLES_RAD = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2)
CROSSED_ANGLES_RAD = (0.0, 0.3, 0.5, 0.7)
CROSSED_PARENTS = 4
TOO_CLOSE = 0.97
"""Parents whose noises correlate by more are one parent: the rank alone would pick a family."""
UNKNOWN_PREVIEW_CORRELATION = 0.8
MODEL_SIZE = 256
"""Most observations that the model holds, the best and the latest; its cost grows with their cube."""


@dataclass(frozen=True, slots=True)
class _Offer:
    """A kind of candidate that a round may take: where from, how far, and how often at most."""

    move: Move
    parents: tuple[Candidate, ...]
    angle: float
    recipe: Recipe  # of one such candidate: what the model predicts for all of them

    @property
    def capacity(self) -> float:
        """Crossing without fresh noise gives one recipe only."""
        return 1 if self.move is Move.CROSSOVER and self.angle == 0.0 else math.inf


class EacpsAdaptive(AskTell):
    """See the module.

    Args:
        spec: Settings.
        context: What the search is about.
        rng: Source of all randomness, on PCG64.
    """

    def __init__(self, spec: AdaptiveSpec, context: Context, rng: np.random.Generator) -> None:
        super().__init__(spec, context, rng)
        self._settings = spec
        self._model: LandscapeModel | None = None
        self._predicted_gain: float | None = None

    def ask(self, allowance: Allowance = UNBOUNDED) -> Cohort | None:
        """See `AskTell.ask`."""
        self._model = self._predicted_gain = None
        return super().ask(allowance)

    def _finished(self) -> bool:
        spent_up = self._settings.candidates - self._steps_done() / self.steps < 1.0
        return self._generation > self._settings.planned_rounds or spent_up

    def _parents_wanted(self) -> int:
        return self._settings.parents

    def _propose(self) -> list[Candidate]:
        count = self._affordable(self._settings.trajectories_by_round(self._generation))
        observations = self._observations() if self._generation else []
        if not observations:
            return self._explore(count)
        self._model = LandscapeModel(observations, self._context.calibration.landscape)
        offers = self._offers(self._model)
        fresh = min(count, math.ceil(self._settings.fresh_share * count))
        taken = self._batch(self._model, offers, count, fresh)
        return [self._candidate(offer, index) for index, offer in enumerate(taken)]

    def _promise(self, previews: list[tuple[Candidate, Potential]]) -> NDArray[np.float64]:
        """What the model, which knows the parents too, expects of previewed candidates once they are final."""
        if not previews:
            return np.zeros(0)
        model = LandscapeModel(self._observations(), self._context.calibration.landscape)
        mean, _ = model.predict([candidate.recipe for candidate, _ in previews])
        return mean

    def _note(self, candidates: list[Candidate]) -> RoundNote:
        note = super()._note(candidates)
        if self._model is None:
            return note
        known = {one.trial.candidate.id: one.trial.candidate.recipe for one in self._history}
        turned = [
            math.acos(min(1.0, correlation(one.recipe, known[one.parents[0]])))
            for one in candidates
            if one.move is Move.SPHERICAL
        ]
        angle = math.fsum(turned) / len(turned) if turned else None
        return replace(note, angle=angle, predicted_gain=self._predicted_gain, curvature=self._model.curvature)

    def _observations(self) -> list[Observation]:
        """What is known of every recipe by its latest stop, previews on the finals' scale and noisy as calibrated."""
        latest: dict[str, tuple[Candidate, Potential, int]] = {}
        for one in self._history:
            if isinstance(one.outcome, Potential) and self.objective.takes(one.outcome):
                latest[one.trial.candidate.id] = (one.trial.candidate, one.outcome, one.trial.stop_step)
        rows = list(latest.values())
        utilities = self.objective.utilities([potential for _, potential, _ in rows])
        shifts = {stop: self._shift(stop) for stop in self._plan.stops}
        observations = [
            Observation(candidate.recipe, float(utility) + shifts[stop], self._preview_noise(stop))
            for (candidate, _, stop), utility in zip(rows, utilities, strict=True)
        ]
        if len(observations) <= MODEL_SIZE:
            return observations
        best = set(np.argsort([-one.value for one in observations], kind="stable")[: MODEL_SIZE // 2].tolist())
        recent = set(range(len(observations) - MODEL_SIZE // 2, len(observations)))
        return [observations[place] for place in sorted(best | recent)]

    def _shift(self, stop: int) -> float:
        """How much higher finals are than previews at ``stop``, over the candidates that have both."""
        if stop == self.steps:
            return 0.0
        finals = {candidate.id: known.value for candidate, known in self._known(lambda t: t.stop_step == self.steps)}
        pairs = [
            finals[candidate.id] - known.value
            for candidate, known in self._known(lambda t: t.stop_step == stop)
            if candidate.id in finals
        ]
        return math.fsum(pairs) / len(pairs) if pairs else 0.0

    def _preview_noise(self, stop: int) -> float:
        if stop == self.steps:
            return 0.0
        r = self._context.calibration.preview_correlation(stop / self.steps)
        r = UNKNOWN_PREVIEW_CORRELATION if r is None else min(max(r, 0.05), 1.0)
        return 1.0 / r**2 - 1.0

    def _offers(self, model: LandscapeModel) -> list[_Offer]:
        parents, stranger = self._parents(model), self._unused_seed()
        offers = [_Offer(Move.EXPLORE, (), math.pi / 2, Recipe.from_seed(stranger))]
        for parent in parents:
            for angle in self._angles(ANGLES_RAD):
                recipe = perturb(parent.recipe, angle=angle, seed=stranger)
                offers.append(_Offer(Move.SPHERICAL, (parent,), angle, recipe))
        if self._settings.crossover:
            offers += self._crossings(parents[:CROSSED_PARENTS], stranger)
        return offers

    def _crossings(self, parents: Sequence[Candidate], stranger: int) -> list[_Offer]:
        seen = {one.trial.candidate.recipe for one in self._history}
        offers = []
        for place, one in enumerate(parents):
            for other in parents[place + 1 :]:
                child = cross(one.recipe, other.recipe)
                for angle in CROSSED_ANGLES_RAD:
                    recipe = perturb(child, angle=angle, seed=stranger)
                    if recipe not in seen:
                        offers.append(_Offer(Move.CROSSOVER, (one, other), angle, recipe))
        return offers

    def _angles(self, angles: Sequence[float]) -> list[float]:
        return sorted({min(math.pi / 2, self._widening * angle) for angle in angles})

    def _parents(self, model: LandscapeModel) -> list[Candidate]:
        """The best by the model, whole trajectories only, none too close to a better one."""
        ranked = [one.candidate for one in self.ranking()[: 4 * self._settings.parents]]
        if not ranked:
            return []
        mean, _ = model.predict([candidate.recipe for candidate in ranked])
        chosen: list[Candidate] = []
        for place in np.argsort(-mean, kind="stable"):
            candidate = ranked[place]
            if all(correlation(candidate.recipe, known.recipe) <= TOO_CLOSE for known in chosen):
                chosen.append(candidate)
        return chosen[: self._settings.parents]

    def _batch(self, model: LandscapeModel, offers: list[_Offer], count: int, fresh: int) -> list[_Offer]:
        """Take ``fresh`` fresh seeds, then greedily what raises the expected maximum most."""
        means, sds = model.predict([offer.recipe for offer in offers])
        best = self._model_best(model)
        value = BatchValue(best, reach(best, means, sds))
        left = np.array([offer.capacity for offer in offers])
        taken = []
        for number in range(count):
            gains = np.where(left > 0, value.gains(means, sds), -np.inf)
            place = 0 if number < fresh else int(np.argmax(gains))
            value.take(float(means[place]), float(sds[place]))
            left[place] -= 1
            taken.append(offers[place])
        self._predicted_gain = value.value - best
        return taken

    def _model_best(self, model: LandscapeModel) -> float:
        """The best candidate's potential as the model sees it: a lucky score counts for less than it says."""
        finals = [one.candidate.recipe for one in self.ranking()]
        return float(model.predict(finals)[0].max()) if finals else model.mean

    def _candidate(self, offer: _Offer, index: int) -> Candidate:
        if offer.move is Move.EXPLORE:
            return self._explore(1, start=index)[0]
        recipe = offer.parents[0].recipe
        if offer.move is Move.CROSSOVER:
            recipe = cross(recipe, offer.parents[1].recipe)
        if offer.angle > 0.0:
            recipe = perturb(recipe, angle=offer.angle, seed=self._fresh_seed())
        parents = tuple(parent.id for parent in offer.parents)
        return Candidate(self._id(index), recipe, parents, self._generation, offer.move)

    def _unused_seed(self) -> int:
        """A seed that no candidate has, the same one for the same history; it is not used up."""
        seed = 0
        while seed in self._used_seeds:
            seed += 1
        return seed

"""Adaptive EACPS: after a first round of fresh seeds, a model of the landscape chooses every candidate of every round.

Each round weighs fresh seeds, children of the best at several angles, children of two parents and, where they are
allowed, restarts of finished pictures, and takes greedily what raises the expected maximum of the round most for its
price. Wide moves while little is known, close ones once a parent is far above the mean, fresh seeds again where local
moves stop paying: annealing follows from the evidence.

Large searches are offered restarts only in their last rounds. To a model that looks one round ahead restarts gain most
for their price from the start, and a search that takes nothing else stays with the noises of its first round.

To the model a restart is a move by an angle: the one at which children correlate with their parents as they were seen
to by restarts at that step.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eacps.search.budget import UNBOUNDED, Allowance
from eacps.search.cohort import Candidate, Cohort, Move, RoundNote
from eacps.search.context import SearchContext
from eacps.search.expectation import BatchValue, reach
from eacps.search.landscape import LandscapeModel, Observation, correlation_of
from eacps.search.recipe import MAX_RESTARTS, Recipe, correlation, cross, perturb, restart
from eacps.search.spec import AdaptiveSpec
from eacps.search.strategy import Strategy

ANGLES_RAD = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2)
CROSSED_ANGLES_RAD = (0.0, 0.3, 0.5, 0.7)
CROSSED_PARENTS = 4
RESTART_SHARES = (0.5, 0.75)
"""Steps to which pictures are noised again, as shares of the schedule: half and a quarter of a trajectory remain."""
TOO_CLOSE = 0.97
"""Parents whose noises correlate by more are one parent: the rank alone would pick a family."""
FRESH_SHARE_SLACK = 1e-9
"""A share of 0.1 of 30 trajectories is three, though the product may be a little less."""
MODEL_SIZE = 256
"""Most observations that the model holds, the best and the latest; its cost grows with their cube. What earlier
searches found is older than all of this one."""


def restart_steps(steps: int) -> list[int]:
    """Return the steps that a search restarts pictures at, in ascending order, under a schedule of ``steps``."""
    return sorted({round(share * steps) for share in RESTART_SHARES} - {0, steps})


@dataclass(frozen=True, slots=True)
class _Offer:
    """A kind of candidate that a round may take: where from, how far, and how often at most."""

    move: Move
    parents: tuple[Candidate, ...]
    angle: float
    recipe: Recipe  # of one such candidate, as noise: what the model predicts for all of them
    steps: int  # denoiser's evaluations that it costs
    restart: int = 0  # step that a restart begins at

    @property
    def capacity(self) -> float:
        """Crossing without fresh noise gives one recipe only."""
        return 1 if self.move is Move.CROSSOVER and self.angle == 0.0 else math.inf


class EacpsAdaptive(Strategy):
    """See the module.

    Args:
        spec: Settings.
        context: What the search is about.
        rng: Source of all randomness, on PCG64.
    """

    def __init__(self, spec: AdaptiveSpec, context: SearchContext, rng: np.random.Generator) -> None:
        super().__init__(spec, context, rng)
        self._settings = spec
        self._used_seeds.update(seed for one in (*spec.start, *spec.known) for seed in one.recipe.seeds)
        self._model: LandscapeModel | None = None
        self._predicted_gain: float | None = None
        self._noises: dict[Recipe, Recipe] = {}

    def ask(self, allowance: Allowance = UNBOUNDED) -> Cohort | None:
        """See `Strategy.ask`."""
        self._model = self._predicted_gain = None
        return super().ask(allowance)

    def _finished(self) -> bool:
        spent_up = self._settings.candidates * self.steps - self._steps_done() < self.steps
        return self._generation > self._settings.planned_rounds or spent_up

    def _expected_gain(self) -> float | None:
        """None for the first round, whose seed and points to begin from nothing is expected of."""
        return self._predicted_gain if self._generation else None

    def _parents_wanted(self) -> int:
        return self._settings.parents

    def _propose(self) -> list[Candidate]:
        trajectories = self._settings.trajectories_by_round(self._generation)
        steps = trajectories * self.steps - self._steps_done()
        count = self._affordable(steps)
        if not self._generation:
            return self._first_round(count)
        observations = self._observations()
        if not observations:
            return self._explore(count)
        self._model = LandscapeModel(observations, self._context.calibration.landscape)
        price = max(self.steps, steps) if self._restarts_now else None
        return self._moves(self._model, self._parents(self._model), count, steps=price)

    def _steps_done(self) -> int:
        """Denoising steps of all reported candidates, failures included."""
        return sum(one.candidate.evaluations(self.steps) for one in self._history)

    def _affordable(self, steps: int) -> int:
        """How many candidates from noise so many denoising steps pay for, at least one."""
        return max(1, steps // self.steps)

    @property
    def restarts(self) -> bool:
        return self._settings.restarts

    @property
    def _restarts_now(self) -> bool:
        """Whether the round being proposed may restart pictures: noises are searched first, pictures polished then."""
        settings, most = self._settings, self._settings.restart_trajectories
        left = settings.candidates - settings.trajectories_by_round(self._generation - 1)
        last = self._generation == settings.planned_rounds
        return settings.restarts and (left <= most or (last and most > 0))

    def _first_round(self, count: int) -> list[Candidate]:
        """Take a plain seed, the points to begin from, then fresh seeds; or moves, where those points have scores."""
        points = self._settings.start
        start = [Candidate(self._id(at), one.recipe, (), 0, Move.START) for at, one in enumerate(points, start=1)]
        first, observations = [*self._explore(1), *start], self._observations()
        if not observations:
            return [*first, *self._explore(count - len(first), start=len(first))]
        self._model = LandscapeModel(observations, self._context.calibration.landscape)
        scored = [one for one, point in zip(start, points, strict=True) if point.potential(self.objective) is not None]
        return [*first, *self._moves(self._model, scored, count - len(first), after=first)]

    def _moves(
        self,
        model: LandscapeModel,
        parents: list[Candidate],
        count: int,
        *,
        after: Sequence[Candidate] = (),
        steps: int | None = None,
    ) -> list[Candidate]:
        """Choose candidates by the model, ``after`` others of their round: so many, or as many as so many steps pay."""
        fresh = min(count, self._fresh_seeds_due(after))
        offers = self._offers(parents, restarts=steps is not None)
        taken = self._batch(model, offers, count * self.steps if steps is None else steps, fresh)
        return [self._candidate(offer, index) for index, offer in enumerate(taken, start=len(after))]

    def _fresh_seeds_due(self, after: Sequence[Candidate]) -> int:
        """Whole fresh seeds that the search owes until the end of this round.

        A share of each round would have to be rounded up, and rounds of small searches hold one or two trajectories.
        """
        trajectories = self._settings.trajectories_by_round(self._generation)
        taken = sum(1 for one in (*self._proposed(), *after) if one.move is Move.EXPLORE)
        return max(0, math.floor(self._settings.fresh_share * trajectories + FRESH_SHARE_SLACK) - taken)

    def _note(self, candidates: Sequence[Candidate]) -> RoundNote:
        note = super()._note(candidates)
        if self._model is None:
            return note
        known = {one.id: one.recipe for one in (*self._proposed(), *candidates)}
        turned = [
            math.acos(min(1.0, correlation(one.recipe, known[one.parents[0]])))
            for one in candidates
            if one.move is Move.SPHERICAL
        ]
        angle = math.fsum(turned) / len(turned) if turned else None
        return replace(note, angle=angle, predicted_gain=self._predicted_gain, curvature=self._model.curvature)

    def _observations(self) -> list[Observation]:
        """What is known of every recipe."""
        points = (*self._settings.start, *self._settings.known)
        known = ((self._as_noise(point.recipe), point.potential(self.objective)) for point in points)
        rows = [(recipe, potential) for recipe, potential in known if potential is not None]
        rows += [(self._noise_of(candidate), potential) for candidate, potential in self._known()]
        utilities = self.objective.utilities([potential for _, potential in rows])
        observations = [
            Observation(recipe, float(utility)) for (recipe, _), utility in zip(rows, utilities, strict=True)
        ]
        if len(observations) <= MODEL_SIZE:
            return observations
        best = set(np.argsort([-one.value for one in observations], kind="stable")[: MODEL_SIZE // 2].tolist())
        recent = set(range(len(observations) - MODEL_SIZE // 2, len(observations)))
        return [observations[index] for index in sorted(best | recent)]

    def _noise_of(self, candidate: Candidate) -> Recipe:
        return self._as_noise(candidate.recipe)

    def _as_noise(self, recipe: Recipe) -> Recipe:
        """The noise that a recipe is to the model: each restart a move by its angle."""
        if not recipe.restarts:
            return recipe
        if (known := self._noises.get(recipe)) is None:
            last = recipe.restarts[-1]
            before = self._as_noise(recipe.restarted)
            known = self._noises[recipe] = perturb(before, angle=self._restart_angle(last.step), seed=last.seed)
        return known

    def _restart_angle(self, step: int) -> float:
        known, share = self._context.calibration, step / self.steps
        r = known.restart_correlation(share)
        r = share if r is None else min(max(r, 0.0), 0.99)  # about so it was where it was measured
        return math.acos(correlation_of(r, known.landscape.curvature))

    def _offers(self, parents: list[Candidate], *, restarts: bool) -> list[_Offer]:
        stranger = self._unused_seed()
        offers = [_Offer(Move.EXPLORE, (), math.pi / 2, Recipe.from_seed(stranger), self.steps)]
        for parent in parents:
            picture = self._restartable(parent) if restarts else None
            if picture is None or not parent.recipe.restarts:
                offers += self._children(parent, stranger)
            if picture is not None:
                offers += self._restarted(picture, stranger)
        if self._settings.crossover:
            unrestarted = [parent for parent in parents if not parent.recipe.restarts]
            offers += self._crossings(unrestarted[:CROSSED_PARENTS], stranger)
        return offers

    def _children(self, parent: Candidate, stranger: int) -> Iterator[_Offer]:
        """Moves of the noise that its picture began with; the model sees how far it has been restarted away from it."""
        for angle in self._angles(ANGLES_RAD):
            recipe = perturb(Recipe(parent.recipe.terms), angle=angle, seed=stranger)
            yield _Offer(Move.SPHERICAL, (parent,), angle, recipe, self.steps)

    def _restartable(self, parent: Candidate) -> Candidate | None:
        """The parent; where it was restarted as often as recipes allow, the candidate that it was restarted from."""
        if len(parent.recipe.restarts) < MAX_RESTARTS:
            return parent
        known = {one.id: one for one in self._proposed()}
        return known[parent.parents[0]] if parent.parents else None

    def _restarted(self, parent: Candidate, stranger: int) -> Iterator[_Offer]:
        for step in restart_steps(self.steps):
            angle = self._restart_angle(step)
            recipe = perturb(self._noise_of(parent), angle=angle, seed=stranger)
            yield _Offer(Move.RESTART, (parent,), angle, recipe, self.steps - step, restart=step)

    def _crossings(self, parents: Sequence[Candidate], stranger: int) -> list[_Offer]:
        seen = {one.recipe for one in self._proposed()}
        offers = []
        for index, one in enumerate(parents):
            for other in parents[index + 1 :]:
                child = cross(one.recipe, other.recipe)
                for angle in CROSSED_ANGLES_RAD:
                    recipe = perturb(child, angle=angle, seed=stranger)
                    if recipe not in seen:
                        offers.append(_Offer(Move.CROSSOVER, (one, other), angle, recipe, self.steps))
        return offers

    def _angles(self, angles: Sequence[float]) -> list[float]:
        widening = self._widening
        return sorted({min(math.pi / 2, widening * angle) for angle in angles})

    def _likely_parents(self) -> list[Candidate]:
        """Candidates among which the model chooses parents."""
        return [one.candidate for one in self.ranking()[: 4 * self._settings.parents]]

    def _parents(self, model: LandscapeModel) -> list[Candidate]:
        """The best by the model, none too close to a better one."""
        ranked = self._likely_parents()
        if not ranked:
            return []
        noises = {candidate.id: self._noise_of(candidate) for candidate in ranked}
        mean, _ = model.predict(list(noises.values()))
        chosen: list[Candidate] = []
        for index in np.argsort(-mean, kind="stable"):
            candidate = ranked[index]
            if all(correlation(noises[candidate.id], noises[known.id]) <= TOO_CLOSE for known in chosen):
                chosen.append(candidate)
        return chosen[: self._settings.parents]

    def _batch(self, model: LandscapeModel, offers: list[_Offer], steps: int, fresh: int) -> list[_Offer]:
        """Take ``fresh`` fresh seeds, then greedily what raises the expected maximum most for its price."""
        means, sds = model.predict([offer.recipe for offer in offers])
        best = self._model_best(model)
        value = BatchValue(best, reach(best, means, sds))
        left, prices = np.array([offer.capacity for offer in offers]), np.array([offer.steps for offer in offers])
        taken: list[_Offer] = []
        while (prices <= steps).any():
            gains = np.where((left > 0) & (prices <= steps), value.gains(means, sds) / prices, -np.inf)
            index = 0 if len(taken) < fresh else int(np.argmax(gains))
            value.take(float(means[index]), float(sds[index]))
            left[index] -= 1
            steps -= offers[index].steps
            taken.append(offers[index])
        self._predicted_gain = value.value - best
        return taken

    def _model_best(self, model: LandscapeModel) -> float:
        """The best candidate's potential as the model sees it: a lucky score counts for less than it says."""
        finals = [self._noise_of(one.candidate) for one in self.ranking()] or [
            self._as_noise(one.recipe) for one in self._settings.start if one.potential(self.objective) is not None
        ]
        return float(model.predict(finals)[0].max()) if finals else model.mean

    def _candidate(self, offer: _Offer, index: int) -> Candidate:
        if offer.move is Move.EXPLORE:
            return self._explore(1, start=index)[0]
        recipe = offer.parents[0].recipe
        if offer.move is Move.CROSSOVER:
            recipe = cross(recipe, offer.parents[1].recipe)
        if offer.move is Move.RESTART:
            recipe = restart(recipe, step=offer.restart, seed=self._fresh_seed())
        elif offer.angle > 0.0:
            recipe = perturb(Recipe(recipe.terms), angle=offer.angle, seed=self._fresh_seed())
        parents = tuple(parent.id for parent in offer.parents)
        return Candidate(self._id(index), recipe, parents, self._generation, offer.move)

    def _unused_seed(self) -> int:
        """A seed that no candidate has, the same one for the same history; it is not used up."""
        seed = 0
        while seed in self._used_seeds:
            seed += 1
        return seed

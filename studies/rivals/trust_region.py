"""Trust-region search over the initial noise (TRS, arXiv 2603.14504).

From the paper's abstract: generator and reward are a black box, only the source noise is optimized, by trust regions
that balance global exploration and local exploitation. Its full text was not at hand. Our reading, after trust regions
in Bayesian optimization (TuRBO, Eriksson et al. 2019), without a model of the reward:

- The first round is fresh seeds; the best ones become the centers of the regions.
- Every later round tries noises within each region, turned from its center by the region's angle (in so many dimensions
  nearly all of a region's volume lies at its rim), equally many in each.
- A region moves to the best of its noises where that beats the center, and grows; otherwise it shrinks. One that has
  shrunk below the least angle is given up for a fresh seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from eacps.search.cohort import Candidate
from eacps.search.recipe import perturb
from studies.rivals.rival import Rival, Scored
from studies.rivals.settings import RivalSpec, TrustRegionSpec


@dataclass
class _Region:
    """A center, its score, and the angle around it."""

    center: Candidate
    score: float
    angle: float


class TrustRegionSearch(Rival[TrustRegionSpec]):
    """See the module."""

    kind: ClassVar[type[RivalSpec]] = TrustRegionSpec

    def _round(self, count: int) -> list[Candidate]:
        regions = self._regions()
        return [self._within(regions[index % len(regions)], index) for index in range(count)]

    def _within(self, region: _Region, index: int) -> Candidate:
        if region.angle < self._settings.least_angle:
            return self._explore(1, start=index)[0]
        recipe = perturb(region.center.recipe, angle=region.angle, seed=self._fresh_seed())
        return self._child(recipe, index, (region.center,))

    def _regions(self) -> list[_Region]:
        """Follow the regions through all rounds."""
        regions: list[_Region] = []
        for generation in range(self._generation):
            scored = self._scored(generation)
            for region in regions:
                children = [one for one in scored if region.center.id in one[0].parents]
                self._update(region, children)
            fresh = sorted((one for one in scored if not one[0].parents), key=lambda one: -one[1])
            regions = self._with_fresh(regions, fresh)
        return regions

    def _update(self, region: _Region, children: list[Scored]) -> None:
        best = max(children, key=lambda one: one[1], default=None)
        if best is not None and best[1] > region.score:
            region.center, region.score = best
            region.angle = min(math.pi / 2, region.angle * self._settings.grow)
        elif best is not None:
            region.angle *= self._settings.shrink

    def _with_fresh(self, regions: list[_Region], fresh: list[Scored]) -> list[_Region]:
        """Fill up with fresh seeds, the best first; a region that was given up stays until one takes its place."""
        alive = [region for region in regions if region.angle >= self._settings.least_angle]
        room = self._settings.regions - len(alive)
        new = [_Region(candidate, score, self._settings.angle) for candidate, score in fresh[:room]]
        given_up = [region for region in regions if region.angle < self._settings.least_angle]
        return alive + new + given_up[: max(0, room - len(new))]

"""Trust-region search over the initial noise (TRS, arXiv 2603.14504).

After the authors' public code (github.com/NiklasSchweiger/trust-region-noise-search), with its default settings:

- The first fifth of the budget is fresh noises. The centers of the regions are the best noises of the whole history,
  chosen again in every round; there are three regions for four candidates of a round.
- A candidate is drawn from a box around its center whose side is the region's length, in a random share of the
  coordinates, between a tenth and nine tenths of them, drawn anew for each region and round.
- A region's length grows and shrinks by a factor after so many successes or failures in a row. A success is a round
  whose best candidate in the region is better than the center. A region that is as short as can be begins anew.

Departures: displacements are turns on the sphere of N(0, I), by the angle that a displacement of this length has in so
many dimensions; the box has no corners here. Budgets are 8 to 64 instead of 400, so that a length that changes
with each success or failure is tried too; where they are small, the first round is more than a fifth.
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
    """Its side, and successes (above 0) or failures (below 0) in a row."""

    length: float
    streak: int = 0


class TrustRegionSearch(Rival[TrustRegionSpec]):
    """See the module."""

    kind: ClassVar[type[RivalSpec]] = TrustRegionSpec

    def _round(self, count: int) -> list[Candidate]:
        centers = self._centers(self._generation)
        regions = self._regions(len(centers))
        shares = self._rng.uniform(self._settings.least_share, self._settings.most_share, size=len(centers))
        angles = [displacement_angle(region.length, share) for region, share in zip(regions, shares, strict=True)]
        pairs = [(center, angle) for (center, _), angle in zip(centers, angles, strict=True)]
        return [self._drawn(*pairs[index % len(pairs)], index) for index in range(count)]

    def _drawn(self, center: Candidate, angle: float, index: int) -> Candidate:
        recipe = perturb(center.recipe, angle=angle, seed=self._fresh_seed())
        return self._child(recipe, index, (center,))

    def _centers(self, generation: int) -> list[Scored]:
        """The best of the history before a round."""
        known = [one for one in self._scored() if one[0].generation < generation]
        regions = max(1, round(self._settings.regions_share * self._count(generation)))
        return sorted(known, key=lambda one: -one[1])[:regions]

    def _regions(self, count: int) -> list[_Region]:
        """Follow the regions through all rounds, each by its rank among the centers."""
        regions = [_Region(self._settings.length) for _ in range(count)]
        for generation in range(1, self._generation):
            centers = self._centers(generation)
            for index, (center, score) in enumerate(centers[:count]):
                children = [value for child, value in self._scored(generation) if child.parents == (center.id,)]
                if children:
                    self._update(regions[index], max(children) > score)
        return regions

    def _update(self, region: _Region, improved: bool) -> None:
        settings = self._settings
        region.streak = max(0, region.streak) + 1 if improved else min(0, region.streak) - 1
        if region.streak >= settings.tolerance:
            region.length, region.streak = min(region.length * settings.factor, settings.most_length), 0
        elif region.streak <= -settings.tolerance:
            shortest = region.length <= settings.least_length
            length = settings.length if shortest else max(region.length / settings.factor, settings.least_length)
            region.length, region.streak = length, 0


def displacement_angle(length: float, share: float) -> float:
    """Return the angle, in radians, that a uniform draw from a box turns a noise of N(0, I) by.

    Args:
        length: Side of the box, whose coordinates have the variance ``length**2 / 12``.
        share: Of the coordinates that are displaced.
    """
    return math.atan(length * math.sqrt(share / 12))

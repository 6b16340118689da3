"""From raw scores to the potential of the default request, with and without its caps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from eacps.limits import DEFAULT_WEIGHTS
from eacps.scoring.score_maps import ScoreMaps
from eacps.search.calibration import Calibration
from eacps.search.objective import Objective
from eacps.search.potential import Potential, ScoreCard, Weights
from studies.pool import Scores


@dataclass(frozen=True)
class Yardstick:
    """What the study's searches climb and are compared by.

    Args:
        calibration: Of the checkpoint.
        maps: Likewise.
        objective: The default one.
    """

    calibration: Calibration = field(default_factory=Calibration)
    maps: ScoreMaps = field(default_factory=ScoreMaps)
    objective: Objective = field(default_factory=lambda: Objective(Weights(dict(DEFAULT_WEIGHTS))))

    def potential(self, scores: Scores, *, error: float = 0.0) -> Potential:
        """Return U(x) as a search reads it.

        Args:
            scores: Raw.
            error: Added to the value, which stays in [0, 1]: a verifier's noise.
        """
        raw = {name: scores[name] for name in self.objective.weights.normalized}
        true = self.objective.potential(ScoreCard(self.maps.values(raw), {}, raw, {}))
        return Potential(min(1.0, max(0.0, true.value + error)), scores=true.scores) if error else true

    def parts(self, scores: Scores) -> dict[str, float]:
        """Return the weighted calibrated score of every scorer that counts; U(x) is their sum."""
        weights = self.objective.weights.normalized
        values = self.maps.values({name: scores[name] for name in weights})
        return {name: weight * values[name] for name, weight in weights.items()}

    def uncapped(self, scores: Scores) -> float:
        """Return the weighted sum of calibrated scores that may leave [0, 1]: better than good still counts."""
        weights = self.objective.weights.normalized
        return math.fsum(weight * self.maps.maps[name].uncapped(scores[name]) for name, weight in weights.items())

"""What raw scores mean: maps from them to [0, 1], where weights count alike, as measured on a checkpoint beforehand.

Read from the section ``scorers`` of its ``calibration.json``, raw scores of good and bad pictures by scorer::

    {scorer: {"positive": {"quantiles": {...}}, "negative": {"quantiles": {...}}}}
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from eacps.errors import FieldViolation, InvalidSearchSpec

LOGIT_EDGE = 1e-6
"""Probabilities are cut here before their logit is taken; single precision does not tell those beyond apart."""
COSINE_SCORERS = ("identity", "identity_heldout")
SIMILARITY_SCORERS = ("preservation",)
ANSWER_SCORERS = ("realism", "prompt")
"""Scorers whose score is the probability of a yes; so are those of questions, named ``<judge>.<question>``."""
_REWARD_MODELS = "reward."
"""Beginning of the names of judges that give scores on a scale of their own instead."""


class Scale(StrEnum):
    """On which scale a raw score is evenly spaced."""

    LINEAR = "linear"
    LOGIT = "logit"  # probabilities: 0.9 and 0.99 are as far apart as 0.5 and 0.09


def logit(probability: float) -> float:
    """Return log-odds; of probabilities nearer to 0 or 1 than `LOGIT_EDGE` those of the edge."""
    cut = min(1.0 - LOGIT_EDGE, max(LOGIT_EDGE, probability))
    return math.log(cut / (1.0 - cut))


def _probability(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-log_odds))


@dataclass(frozen=True, slots=True)
class ScoreMap:
    """A monotone map from raw scores to [0, 1].

    Args:
        scale: On which the map is linear.
        zero: Raw score that counts as 0, and all below it.
        one: Raw score that counts as 1, and all above it: for a cosine of faces what two pictures of one person reach,
            so that a copied face earns nothing more.
    """

    scale: Scale
    zero: float
    one: float

    def __call__(self, raw: float) -> float:
        """Map one raw score."""
        return min(1.0, max(0.0, self.uncapped(raw)))

    def uncapped(self, raw: float) -> float:
        """Map one raw score without cutting it: below 0 is worse than bad pictures, above 1 better than good ones."""
        low, high = self._scaled(self.zero), self._scaled(self.one)
        return (self._scaled(raw) - low) / (high - low)

    def _scaled(self, raw: float) -> float:
        return raw if self.scale is Scale.LINEAR else logit(raw)


UNCALIBRATED_ANSWER = ScoreMap(Scale.LOGIT, 1e-5, 1.0 - 1e-5)
"""Of a judge without a calibration: log-odds alone, since nearly all pictures of a search have a P(yes) above 0.9."""


@dataclass(frozen=True)
class ScoreMaps:
    """The maps of a checkpoint.

    Args:
        maps: By scorer's name. Without one, probabilities of a yes count by their log-odds, see `UNCALIBRATED_ANSWER`;
            other scores are taken as they are.
    """

    maps: Mapping[str, ScoreMap] = field(default_factory=dict)

    @classmethod
    def from_calibration(cls, data: Mapping[str, Any] | None) -> "ScoreMaps":
        """Read a checkpoint's ``calibration.json``; None, or an absent section, is nothing known.

        Raises:
            InvalidSearchSpec: The section is malformed.
        """
        try:
            sections = (data or {}).get("scorers", {}).items()
            return cls({name: _score_map(name, section) for name, section in sections})
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise InvalidSearchSpec([FieldViolation("calibration", f"is malformed: {exc!r}")]) from exc

    def values(self, raw: Mapping[str, float]) -> dict[str, float]:
        """Put raw scores, by scorer, on the scale on which weights mean something."""
        return {name: score if (mapped := self.map_of(name)) is None else mapped(score) for name, score in raw.items()}

    def map_of(self, name: str) -> ScoreMap | None:
        """Return a scorer's map; None where its scores are taken as they are."""
        return self.maps.get(name) or (UNCALIBRATED_ANSWER if is_answer(name) else None)


def is_answer(scorer: str) -> bool:
    """Return whether a scorer's score is the probability of a yes, by its name."""
    return scorer in ANSWER_SCORERS or ("." in scorer and not scorer.startswith(_REWARD_MODELS))


def _score_map(name: str, section: Mapping[str, Any]) -> ScoreMap:
    """From the bad pictures' median to what good ones hardly reach, so that a search has something left to climb.

    - Cosines of faces: the good pictures' upper end, which a copied face cannot beat.
    - Structural similarity: 1, its own end.
    - Probabilities of a yes: on the scale of log-odds, as far above the good pictures' upper end as that is above their
      median. At their median half of a search's candidates would be equal.
    """
    good, zero = section["positive"]["quantiles"], float(section["negative"]["quantiles"]["0.5"])
    zero = max(zero, 0.0)  # scorers cut their scores at 0
    if name in SIMILARITY_SCORERS:
        found = ScoreMap(Scale.LINEAR, zero, 1.0)
    elif name in COSINE_SCORERS:
        found = ScoreMap(Scale.LINEAR, zero, float(good["0.95"]))
    else:
        median, upper = logit(float(good["0.5"])), logit(float(good["0.95"]))
        found = ScoreMap(Scale.LOGIT, zero, _probability(2 * upper - median))
    if not (zero < float(good["0.5"]) and zero < found.one <= 1.0):
        raise ValueError(f"{name}: good pictures score {good['0.5']}, bad ones {zero}")
    return found

"""What was measured on a checkpoint beforehand: what raw scores mean, how its landscape lies, what previews tell.

Read from the checkpoint's ``calibration.json``; every section may be absent. The file's sections:

    scorers     {scorer: {"positive": {"quantiles": {...}}, "negative": {...}}}, raw scores of good and bad pictures
    landscape   {"curvature": {"mean", "sd"}, "spread": {"mean", "sd"}}, see `eacps.search.landscape`
    previews    {"<share of the steps>": correlation of preview's and final potential}
    pruning     {strategy: {"gain", "se"}}, see `PruningGain`
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from eacps.errors import FieldViolation, InvalidSearchSpec
from eacps.search.scores import ScoreCard

LOGIT_EDGE = 1e-4
"""Probabilities are cut here before their logit is taken."""
COSINE_SCORERS = ("identity", "identity_heldout", "preservation")


class Scale(StrEnum):
    """On which scale a raw score is evenly spaced."""

    LINEAR = "linear"
    LOGIT = "logit"  # probabilities: 0.9 and 0.99 are as far apart as 0.5 and 0.09


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
        low, high = self._place(self.zero), self._place(self.one)
        return (self._place(raw) - low) / (high - low)

    def _place(self, raw: float) -> float:
        if self.scale is Scale.LINEAR:
            return raw
        cut = min(1.0 - LOGIT_EDGE, max(LOGIT_EDGE, raw))
        return math.log(cut / (1.0 - cut))


@dataclass(frozen=True, slots=True)
class Landscape:
    """How potentials vary over noise on this checkpoint: where every search's own model starts from.

    Args:
        curvature: Median of the kernel's curvature, at least 0; see `eacps.search.landscape.kernel`.
        curvature_sd: Standard deviation over tasks of its logarithm.
        spread: Mean over tasks of the standard deviation of the potential over fresh seeds; None if not measured.
        spread_sd: Standard deviation of that over tasks.
    """

    curvature: float = 1.0
    curvature_sd: float = 0.7
    spread: float | None = None
    spread_sd: float | None = None


@dataclass(frozen=True, slots=True)
class PruningGain:
    """What pruning, as it is expected to be best, did to a strategy's results on tasks of their own.

    Args:
        gain: Mean difference at equal cost, in standard deviations of the potential within a task.
        se: Standard error of that.
    """

    gain: float
    se: float


@dataclass(frozen=True)
class Calibration:
    """All that is known of a checkpoint.

    Args:
        maps: By scorer's name; a scorer without one is taken as it is.
        landscape: Prior of the search's model.
        previews: Correlation of a preview's potential with the final one's, by share of the steps done.
        pruning: What pruning did, by strategy; empty where that was not tried.
    """

    maps: Mapping[str, ScoreMap] = field(default_factory=dict)
    landscape: Landscape = Landscape()
    previews: Mapping[float, float] = field(default_factory=dict)
    pruning: Mapping[str, PruningGain] = field(default_factory=dict)

    def card(self, raw: Mapping[str, float], missing: Mapping[str, str], repeats: Mapping[str, int]) -> ScoreCard:
        """Put raw scores on the scale on which weights mean something."""
        values = {name: self.maps[name](score) if name in self.maps else score for name, score in raw.items()}
        return ScoreCard(values, missing, raw, repeats)

    def preview_correlation(self, share: float) -> float | None:
        """Give the correlation at a share of the steps, linear between those measured; None outside of them."""
        shares = sorted(self.previews)
        for low, high in zip(shares, shares[1:] + shares[-1:], strict=True):
            if low - 1e-9 <= share <= high + 1e-9:
                part = 0.0 if high == low else (share - low) / (high - low)
                return (1 - part) * self.previews[low] + part * self.previews[high]
        return None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | None) -> "Calibration":
        """Read a checkpoint's ``calibration.json``; None, or an absent section, is nothing known.

        Raises:
            InvalidSearchSpec: A section is malformed.
        """
        if data is None:
            return cls()
        try:
            return cls(
                maps={name: _score_map(name, section) for name, section in data.get("scorers", {}).items()},
                landscape=_landscape(data["landscape"]) if "landscape" in data else Landscape(),
                previews={float(share): float(r) for share, r in data.get("previews", {}).items()},
                pruning={
                    name: PruningGain(float(section["gain"]), float(section["se"]))
                    for name, section in data.get("pruning", {}).items()
                },
            )
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise InvalidSearchSpec([FieldViolation("calibration", f"is malformed: {exc!r}")]) from exc

    def to_dict(self) -> dict[str, Any]:
        """Give a JSON-able form for snapshots; `restored` reads it."""
        return {
            "maps": {name: [one.scale.value, one.zero, one.one] for name, one in self.maps.items()},
            "landscape": [getattr(self.landscape, name) for name in Landscape.__slots__],
            "previews": [[share, r] for share, r in self.previews.items()],
            "pruning": {name: [one.gain, one.se] for name, one in self.pruning.items()},
        }

    @classmethod
    def restored(cls, data: Mapping[str, Any]) -> "Calibration":
        """Restore what ``to_dict`` gave; raises KeyError, TypeError or ValueError on another form."""
        return cls(
            maps={name: ScoreMap(Scale(scale), zero, one) for name, (scale, zero, one) in data["maps"].items()},
            landscape=Landscape(*data["landscape"]),
            previews=dict(data["previews"]),
            pruning={name: PruningGain(gain, se) for name, (gain, se) in data["pruning"].items()},
        )


def _score_map(name: str, section: Mapping[str, Any]) -> ScoreMap:
    """From the negatives' median to the positives' median, for cosines to their upper end: what a copy cannot beat."""
    cosine = name in COSINE_SCORERS
    zero = float(section["negative"]["quantiles"]["0.5"])
    one = float(section["positive"]["quantiles"]["0.95" if cosine else "0.5"])
    zero = max(zero, 0.0)  # scorers cut their scores at 0
    if not zero < one <= 1.0:
        raise ValueError(f"{name}: good pictures score {one}, bad ones {zero}")
    return ScoreMap(Scale.LINEAR if cosine else Scale.LOGIT, zero, one)


def _landscape(section: Mapping[str, Any]) -> Landscape:
    spread = section.get("spread")
    found = Landscape(
        curvature=float(section["curvature"]["mean"]),
        curvature_sd=float(section["curvature"]["sd"]),
        spread=None if spread is None else float(spread["mean"]),
        spread_sd=None if spread is None else float(spread["sd"]),
    )
    if not (found.curvature > 0 and found.curvature_sd > 0):
        raise ValueError("landscape.curvature is not above 0")
    return found

"""What was measured on a checkpoint beforehand: how its landscape lies, what previews tell, what pruning gains.

Read from the checkpoint's ``calibration.json``; every section may be absent. The file's sections:

    landscape   {"curvature": {"mean", "sd"}, "spread": {"mean", "sd"}}, see `eacps.search.landscape`
    previews    {"<share of the steps>": correlation of preview's and final potential}
    drafts      {"<steps of a draft, as a share>": correlation of draft's and final potential}
    restarts    {"<step that a picture is noised to, as a share>": correlation of its and its child's potential}
    pruning     {strategy: {"gain", "se"}}, see `PruningGain`

Of its other sections, ``scorers`` says what raw scores mean (`eacps.scoring.score_maps`); the exporter reads
``measured_with``, and leaves out what was measured with other networks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eacps.errors import FieldViolation, InvalidSearchSpec


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
        landscape: Prior of the search's model.
        previews: Correlation of a preview's potential with the final one's, by share of the steps done.
        pruning: What pruning did, by strategy; empty where that was not tried.
        drafts: Correlation of a draft's potential with the final one's, by its steps as a share of the full schedule's.
        restarts: Correlation of a picture's potential with that of the picture that a restart makes of it, by the step
            of the restart as a share of the full schedule's.
    """

    landscape: Landscape = Landscape()
    previews: Mapping[float, float] = field(default_factory=dict)
    pruning: Mapping[str, PruningGain] = field(default_factory=dict)
    drafts: Mapping[float, float] = field(default_factory=dict)
    restarts: Mapping[float, float] = field(default_factory=dict)

    def preview_correlation(self, share: float) -> float | None:
        """Return previews' correlation at a share of the steps, linear between those measured; None outside of them."""
        return _interpolated(self.previews, share)

    def draft_correlation(self, share: float) -> float | None:
        """Return the correlation of drafts of a share of the steps, likewise."""
        return _interpolated(self.drafts, share)

    def restart_correlation(self, share: float) -> float | None:
        """Return the correlation of parents and children by restarts at a share of the steps, likewise."""
        return _interpolated(self.restarts, share)

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
                landscape=_landscape(data["landscape"]) if "landscape" in data else Landscape(),
                previews={float(share): float(r) for share, r in data.get("previews", {}).items()},
                drafts={float(share): float(r) for share, r in data.get("drafts", {}).items()},
                restarts={float(share): float(r) for share, r in data.get("restarts", {}).items()},
                pruning={
                    name: PruningGain(float(section["gain"]), float(section["se"]))
                    for name, section in data.get("pruning", {}).items()
                },
            )
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise InvalidSearchSpec([FieldViolation("calibration", f"is malformed: {exc!r}")]) from exc

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form for snapshots; `restored` reads it."""
        return {
            "landscape": [getattr(self.landscape, name) for name in Landscape.__slots__],
            "previews": [[share, r] for share, r in self.previews.items()],
            "drafts": [[share, r] for share, r in self.drafts.items()],
            "restarts": [[share, r] for share, r in self.restarts.items()],
            "pruning": {name: [one.gain, one.se] for name, one in self.pruning.items()},
        }

    @classmethod
    def restored(cls, data: Mapping[str, Any]) -> "Calibration":
        """Restore what ``to_dict`` gave; raises KeyError, TypeError or ValueError on another form."""
        return cls(
            landscape=Landscape(*data["landscape"]),
            previews=dict(data["previews"]),
            drafts=dict(data["drafts"]),
            restarts=dict(data["restarts"]),
            pruning={name: PruningGain(gain, se) for name, (gain, se) in data["pruning"].items()},
        )


def _interpolated(measured: Mapping[float, float], share: float) -> float | None:
    shares = sorted(measured)
    for low, high in zip(shares, shares[1:] + shares[-1:], strict=True):
        if low - 1e-9 <= share <= high + 1e-9:
            part = 0.0 if high == low else (share - low) / (high - low)
            return (1 - part) * measured[low] + part * measured[high]
    return None


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

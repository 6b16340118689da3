"""What was measured on a checkpoint beforehand: how its landscape lies, and how far restarts go.

Read from the checkpoint's ``calibration.json``; every section may be absent. The file's sections:

    landscape   {"curvature": {"mean", "sd"}, "spread": {"mean", "sd"}}, see `eacps.search.landscape`
    restarts    {"<step that a picture is noised to, as a share>": correlation of its and its child's potential}

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


@dataclass(frozen=True)
class Calibration:
    """All that is known of a checkpoint.

    Args:
        landscape: Prior of the search's model.
        restarts: Correlation of a picture's potential with that of the picture that a restart makes of it, by the step
            of the restart as a share of the full schedule's.
    """

    landscape: Landscape = Landscape()
    restarts: Mapping[float, float] = field(default_factory=dict)

    def restart_correlation(self, share: float) -> float | None:
        """Return the correlation of parents and children by restarts at a share of the steps.

        Linear between those measured; None outside of them.
        """
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
                restarts={float(share): float(r) for share, r in data.get("restarts", {}).items()},
            )
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise InvalidSearchSpec([FieldViolation("calibration", f"is malformed: {exc!r}")]) from exc

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form for snapshots; `restored` reads it."""
        return {
            "landscape": [getattr(self.landscape, name) for name in Landscape.__slots__],
            "restarts": [[share, r] for share, r in self.restarts.items()],
        }

    @classmethod
    def restored(cls, data: Mapping[str, Any]) -> "Calibration":
        """Restore what ``to_dict`` gave; raises KeyError, TypeError or ValueError on another form."""
        return cls(Landscape(*data["landscape"]), dict(data["restarts"]))


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

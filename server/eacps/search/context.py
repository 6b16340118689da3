"""What a search is about and where it runs: what a strategy must know besides its settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eacps.errors import FieldViolation, InvalidSearchSpec
from eacps.search.calibration import Calibration
from eacps.search.objective import Objective


@dataclass(frozen=True)
class SearchContext:
    """Given to a strategy at its start.

    Args:
        steps: Denoising steps of the full schedule, at least 1.
        objective: What is climbed.
        calibration: Of the checkpoint.

    Raises:
        InvalidSearchSpec: ``steps`` below 1.
    """

    steps: int
    objective: Objective
    calibration: Calibration = field(default_factory=Calibration)

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InvalidSearchSpec([FieldViolation("steps", f"is {self.steps}, below 1")])

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {
            "steps": self.steps,
            "objective": self.objective.to_dict(),
            "calibration": self.calibration.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "SearchContext":
        """Restore from ``to_dict``'s form; raises KeyError, TypeError or ValueError on another."""
        return cls(data["steps"], Objective.from_dict(data["objective"]), Calibration.restored(data["calibration"]))

"""What a search may spend, what it has spent, and why it stopped.

The denoiser's cost is counted in evaluations (NFE): one for each step of each candidate, two under classifier-free
guidance; so a search with restarts and one without can be compared. Nothing here knows a clock: whoever evaluates says
how much time has gone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from eacps.errors import FieldViolation, InvalidSearchSpec


class StopReason(StrEnum):
    """Why a search asks for nothing more."""

    COMPLETED = "completed"  # all planned rounds were run
    NFE = "nfe"
    PICTURES = "pictures"
    VLM_CALLS = "vlm_calls"
    WALL_TIME = "wall_time"
    TARGET_REACHED = "target_reached"
    LOW_DIVERSITY = "low_diversity"
    LITTLE_GAIN = "little_gain"  # the next round is expected to raise the best by less than it has to


@dataclass(frozen=True, slots=True)
class Spent:
    """What has gone into a search.

    Args:
        nfe: Denoiser evaluations.
        pictures: Decoded and scored.
        vlm_calls: Made to vision-language models, repeats included.
        wall_s: Seconds.
    """

    nfe: int = 0
    pictures: int = 0
    vlm_calls: int = 0
    wall_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Budget:
    """Bounds of a search; it stops at the first that is reached. None is no bound.

    Args:
        nfe: Denoiser evaluations, at least 1.
        pictures: Pictures decoded and scored, at least 1.
        vlm_calls: Calls of vision-language models, at least 1.
        wall_time_s: Seconds, above 0.
        target_potential: In ``(0, 1]``: the search stops once its best reaches it.
        min_gain_per_trajectory: In ``(0, 1]``: the search stops before a round that is expected to raise its best by
            less than this for every whole trajectory that the round costs. Only strategies with a model of their
            landscape expect anything; the others run on.

    Raises:
        InvalidSearchSpec: Names every invalid bound as ``budget.<field>``.
    """

    nfe: int | None = None
    pictures: int | None = None
    vlm_calls: int | None = None
    wall_time_s: float | None = None
    target_potential: float | None = None
    min_gain_per_trajectory: float | None = None

    def __post_init__(self) -> None:
        counts = ("nfe", "pictures", "vlm_calls")
        found = [
            FieldViolation(f"budget.{name}", f"is {value}, below 1")
            for name in counts
            if (value := getattr(self, name)) is not None and not value >= 1
        ]
        if self.wall_time_s is not None and not self.wall_time_s > 0.0:
            found.append(FieldViolation("budget.wall_time_s", f"is {self.wall_time_s}, not above 0"))
        for name in ("target_potential", "min_gain_per_trajectory"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value <= 1.0:
                found.append(FieldViolation(f"budget.{name}", f"is {value}, not in (0, 1]"))
        if found:
            raise InvalidSearchSpec(found)

    def left(self, spent: Spent, price: "Price") -> "Allowance":
        """Return what the next cohort may cost."""
        pictures = None if self.pictures is None else self.pictures - spent.pictures
        calls = None
        if self.vlm_calls is not None and price.vlm_calls_per_picture:
            calls = (self.vlm_calls - spent.vlm_calls) // price.vlm_calls_per_picture
        steps = None if self.nfe is None else (self.nfe - spent.nfe) // price.nfe_per_step
        return Allowance(steps, pictures, calls, self._time_is_up(spent), self.min_gain_per_trajectory)

    def _time_is_up(self, spent: Spent) -> bool:
        return self.wall_time_s is not None and spent.wall_s >= self.wall_time_s


@dataclass(frozen=True, slots=True)
class Price:
    """What one step and one picture cost.

    Args:
        nfe_per_step: 1, under guidance 2.
        vlm_calls_per_picture: Calls that scoring one picture takes.
    """

    nfe_per_step: int = 1
    vlm_calls_per_picture: int = 0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the next cohort may cost; None is no bound.

    Args:
        steps: Denoising steps of all its candidates together.
        pictures: Pictures.
        scored: Pictures that the calls of vision-language models suffice for.
        time_is_up: Whether the time has gone.
        min_gain_per_trajectory: See `Budget`.
    """

    steps: int | None = None
    pictures: int | None = None
    scored: int | None = None
    time_is_up: bool = False
    min_gain_per_trajectory: float | None = None

    def affordable(self, costs: Iterable[int]) -> tuple[int, StopReason | None]:
        """Return how many of the next candidates the budget allows, in their order.

        Args:
            costs: Denoising steps of each candidate.

        Returns:
            Their number, and what stops the first that cannot be paid; None where all can.
        """
        if self.time_is_up:
            return 0, StopReason.WALL_TIME
        used, count = 0, 0
        for cost in costs:
            used += cost
            if self.steps is not None and used > self.steps:
                return count, StopReason.NFE
            if self.pictures is not None and count >= self.pictures:
                return count, StopReason.PICTURES
            if self.scored is not None and count >= self.scored:
                return count, StopReason.VLM_CALLS
            count += 1
        return count, None


UNBOUNDED = Allowance()

"""The API's limits and defaults, once, for validation, settings and the command line.

``search_service.proto`` states them in its comments; a test compares the two.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from eacps.search import defaults
from eacps.tensors import MAX_CONDITIONING_PICTURES

INT32_MAX, INT64_MAX = 2**31 - 1, 2**63 - 1
UINT32_MAX = 2**32 - 1
DEFAULT_WEIGHTS: Mapping[str, float] = MappingProxyType({"identity": 0.5, "realism": 0.3, "prompt": 0.2})
"""Weights of the scorers, if neither the server's settings nor the request give others."""

MAX_UPLOAD_BYTES = 256 * 2**20
"""Of a picture that is uploaded."""
MAX_PROMPT_CHARACTERS = 2000
MAX_QUESTION_CHARACTERS = 500
QUESTION_LABEL = "[a-z0-9_]{1,32}"
"""Form of a question's short name."""
MAX_SCORERS = 16
MAX_SCORED_IMAGES = 16
MAX_LABELS = 16
MAX_LABEL_KEY_CHARACTERS = 63
MAX_LABEL_VALUE_CHARACTERS = 255
MAX_REQUEST_ID_CHARACTERS = 128
MAX_MORE_CHARACTERS = 7
MAX_REFERENCES = MAX_CONDITIONING_PICTURES - 1
"""Beside the prior; one less where the model sees the character picture, too."""
MAX_FACE_INDEX = 999


@dataclass(frozen=True)
class Range:
    """Values that a field of a request may have.

    Args:
        least: Smallest; with ``above`` the largest that is too small.
        most: Largest.
        default: Taken if the field is absent; None if absence means something else than a number.
        above: Whether the interval is open at ``least``.
    """

    least: float
    most: float
    default: float | None = None
    above: bool = False

    def __contains__(self, value: float) -> bool:
        """Return whether a value is in the range. NaN is not."""
        return self.least <= value <= self.most and not (self.above and value == self.least)

    def __str__(self) -> str:
        """Return the interval, such as ``[1, 64]`` or ``(0, 1]``."""
        return f"{'(' if self.above else '['}{_short(self.least)}, {_short(self.most)}]"


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "priority": Range(1, 1000, 100),
        "scene_face.index": Range(0, MAX_FACE_INDEX),
        "character_face.index": Range(0, MAX_FACE_INDEX),
        "sampler.steps": Range(1, 100),
        "sampler.true_cfg_scale": Range(1.0, 20.0, 1.0),
        "search.eacps_adaptive.trajectories": Range(1, defaults.MAX_CANDIDATES, defaults.DEFAULT_ADAPTIVE_CANDIDATES),
        "search.eacps_adaptive.rounds": Range(1, 64),
        "search.eacps_adaptive.fresh_share": Range(0.0, 1.0, defaults.DEFAULT_FRESH_SHARE),
        "search.eacps.global_candidates": Range(1, 512, defaults.DEFAULT_CANDIDATES),
        "search.eacps.parents": Range(1, 64, defaults.DEFAULT_PARENTS),
        "search.eacps.children_per_parent": Range(1, 64, defaults.DEFAULT_CHILDREN),
        "search.eacps.local_rounds": Range(0, 16, defaults.DEFAULT_ROUNDS),
        "search.eacps.spherical.angle": Range(defaults.MIN_ANGLE_RAD, math.pi / 2, defaults.DEFAULT_ANGLE_RAD),
        "search.eacps.spherical.angle_decay": Range(0.0, 1.0, defaults.DEFAULT_DECAY, above=True),
        "search.eacps.seed_offset.radius": Range(1, INT32_MAX, defaults.DEFAULT_OFFSET_RADIUS),
        "search.best_of_n.trajectories": Range(1, defaults.MAX_CANDIDATES, defaults.DEFAULT_CANDIDATES),
        "search.random_seed": Range(0, UINT32_MAX),
        "search.first_seed": Range(0, UINT32_MAX),
        "search.micro_batch": Range(1, 16, defaults.DEFAULT_MICRO_BATCH),
        "search.score_repeats": Range(1, 9, 3),
        "budget.denoiser_evaluations": Range(1, INT64_MAX),
        "budget.pictures": Range(1, INT32_MAX),
        "budget.vlm_calls": Range(1, INT32_MAX),
        "budget.target_potential": Range(0.0, 1.0, above=True),
        "budget.min_gain_per_trajectory": Range(0.0, 1.0, above=True),
        "page_size": Range(1, 1000, 50),
    }
)
"""By the path of the field in its request. A new strategy adds its fields here, and nowhere else."""

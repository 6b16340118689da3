"""The sigmas of a trajectory: what diffusers' pipeline and FlowMatchEulerDiscreteScheduler set up together.

Written out in numpy, in the library's own order of operations and precision: importing diffusers would cost the model
seconds at start and hundreds of megabytes. A test compares the two over settings and step counts.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from eacps.models.checkpoint_config import ScheduleConfig, UnsupportedCheckpoint
from eacps.models.failures import InvalidInput

Sigmas = NDArray[np.float32]


@dataclass(frozen=True)
class Schedule:
    """A full schedule of ``steps`` steps.

    Args:
        sigmas: FP32 [steps + 1], from about 1 down to exactly 0: noise level before step i, and after the last.
        timesteps: FP32 [steps], what the diffusion transformer is told at step i, in (0, 1].
    """

    sigmas: torch.Tensor
    timesteps: torch.Tensor

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.timesteps)


def make_schedule(config: ScheduleConfig, steps: int, mu: float) -> Schedule:
    """Build the schedule for ``steps`` steps.

    Args:
        config: Of the scheduler.
        steps: At least 1.
        mu: How far it is shifted, where the configuration asks for a shift that depends on the picture.

    Raises:
        InvalidInput: One step, where the checkpoint's schedule is stretched to a level of its last step.
    """
    sigmas: Sigmas = np.linspace(1.0, 1 / steps, steps).astype(np.float32)
    if config.use_dynamic_shifting:
        sigmas = _time_shift(config.time_shift_type, mu, sigmas)
    else:
        sigmas = config.shift * sigmas / (1 + (config.shift - 1) * sigmas)
    if config.shift_terminal and steps == 1:
        raise InvalidInput(["steps: is 1, this checkpoint's schedule needs at least 2"])
    if config.shift_terminal:
        # The last step starts at this noise level, the others are stretched along.
        sigmas = 1 - (1 - sigmas) / ((1 - sigmas[-1]) / (1 - config.shift_terminal))
    levels = torch.from_numpy(sigmas).to(torch.float32)
    timesteps = levels * config.num_train_timesteps / 1000
    return Schedule(sigmas=torch.cat([levels, torch.zeros(1)]), timesteps=timesteps)


def linear_mu(config: ScheduleConfig, tokens: int) -> float:
    """Return a shift that grows linearly with the number of packed tokens."""
    slope = (config.max_shift - config.base_shift) / (config.max_image_seq_len - config.base_image_seq_len)
    return tokens * slope + (config.base_shift - slope * config.base_image_seq_len)


def _time_shift(kind: str, mu: float, sigmas: Sigmas) -> Sigmas:
    if kind == "exponential":
        return np.asarray(math.exp(mu) / (math.exp(mu) + (1 / sigmas - 1)), np.float32)
    if kind == "linear":
        return np.asarray(mu / (mu + (1 / sigmas - 1)), np.float32)
    raise UnsupportedCheckpoint(f"time_shift_type {kind!r}")

"""Schedules that a checkpoint can be served with instead of its own."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, get_args, get_type_hints

from diffusers import FlowMatchEulerDiscreteScheduler

from eacps.models.checkpoint_config import ScheduleConfig
from export.request import InvalidOption

# Qwen-Image-Lightning's 4- and 8-step weights were distilled at a constant shift of 3.
LIGHTNING_SCHEDULE: dict[str, Any] = {
    "base_image_seq_len": 256,
    "base_shift": math.log(3),
    "max_image_seq_len": 8192,
    "max_shift": math.log(3),
    "num_train_timesteps": 1000,
    "shift": 1.0,
    "shift_terminal": None,
    "time_shift_type": "exponential",
    "use_dynamic_shifting": True,
}
SAMPLER = FlowMatchEulerDiscreteScheduler.__name__
SCHEDULES = {"lightning": LIGHTNING_SCHEDULE}


def schedule_named(name: str) -> dict[str, Any]:
    """Return the settings of a schedule: ``lightning``, or the path of a scheduler's JSON configuration.

    Raises:
        InvalidOption: There is no such schedule.
    """
    if name in SCHEDULES:
        return dict(SCHEDULES[name])
    try:
        settings = json.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidOption(
            f"no schedule {name!r}: {', '.join(SCHEDULES)}, or a scheduler's JSON file ({error})"
        ) from error
    if not isinstance(settings, dict):
        raise InvalidOption(f"{name} does not hold a scheduler's settings")
    if wrong := check_schedule(settings):
        raise InvalidOption(f"{name} {wrong}")
    return {key: value for key, value in settings.items() if not key.startswith("_")}


def check_schedule(settings: dict[str, Any]) -> str:
    """Return why the settings of a scheduler are not those of the sampler; empty if they are.

    diffusers reads the settings of any scheduler, of whatever class, and does not look at their types or ranges.
    """
    name = settings.get("_class_name", SAMPLER)
    if name != SAMPLER:
        return f"is of {name}; served is {SAMPLER}"
    kinds = get_type_hints(ScheduleConfig)
    wrong = [key for key, kind in kinds.items() if key in settings and not _is_a(kind, settings[key])]
    wrong = wrong or ScheduleConfig(**{key: settings[key] for key in kinds if key in settings}).violations()
    return f"holds no usable {', '.join(wrong)}" if wrong else ""


def _is_a(kind: Any, value: object) -> bool:
    """Return whether a value of JSON is of a type; whole numbers are real ones, and truth values are no numbers."""
    kinds = get_args(kind) or (kind,)
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds) or (float in kinds and isinstance(value, int))


def scheduler_with(settings: dict[str, Any]) -> FlowMatchEulerDiscreteScheduler:
    """Build the sampler's scheduler from its settings."""
    return FlowMatchEulerDiscreteScheduler.from_config(settings)

"""Priors as they are at run time: the finished face pack's swaps instead of drawn ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from studio_mini.faces.pack import FacePack
from studio_mini.measure.identity import drawn_swap
from studio_mini.train.task_cache import TaskSet


def with_swapped_priors(tasks: TaskSet, pack: FacePack) -> TaskSet:
    """Replace the drawn priors by the pack's; the drawn one stays where the pack finds no face."""
    pairs = zip(tasks.scene, tasks.character, tasks.prior, strict=True)
    swaps = [(drawn_swap(pack, scene, character), drawn) for scene, character, drawn in pairs]
    return replace(tasks, prior=np.stack([drawn if swapped is None else swapped for swapped, drawn in swaps]))

"""A drawn person's visible traits as numbers: what the recognizer is asked for besides the person's number.

Numbers of people alone teach slowly: at first all of them are equally wrong. Traits say from the first step in which
way two people differ.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from studio_mini.world.identity import BEARDS, HAIR_STYLES, Identity

KINDS: Final = {"hair_style": HAIR_STYLES, "beard": BEARDS, "scar": ("none", "brow", "cheek")}
UNSEEN: Final = ("texture_seed",)


def trait_table(people: Sequence[Identity]) -> NDArray[np.float32]:
    """Traits of people, [P, T] float32, each with mean 0 and standard deviation 1 over these people."""
    table = np.array([_traits(identity) for identity in people], np.float32)
    spread = table.std(axis=0)
    return (table - table.mean(axis=0)) / np.where(spread > 0, spread, 1)


def _traits(identity: Identity) -> list[float]:
    numbers: list[float] = []
    for field in dataclasses.fields(identity):
        value = getattr(identity, field.name)
        if field.name in UNSEEN:
            continue
        if field.name == "moles":
            numbers.append(len(value))
        elif field.name in KINDS:
            numbers.extend(float(value == kind) for kind in KINDS[field.name])
        elif isinstance(value, tuple):
            numbers.extend(float(channel) for channel in value)
        else:
            numbers.append(float(value))
    return numbers

"""Plans and services for searches over the toy landscape."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from eacps.evaluation import ExecutionLimits, SearchPictures, SearchPlan, SearchSettings, Services
from eacps.search.objective import Objective
from eacps.search.potential import Weights
from eacps.search.spec import EacpsSpec
from eacps.testing import ToyModels, ToyScorer

NO_PAUSE = ExecutionLimits(retry_delay_s=0.0)


@pytest.fixture
def make_plan() -> Callable[..., SearchPlan]:
    """Makes a plan of 8 + 2 x 3 candidates in micro-batches of 4; keywords replace fields."""

    def make(**fields: Any) -> SearchPlan:
        rng = np.random.default_rng(1)
        defaults: dict[str, Any] = {
            "search_id": "test",
            "scene": rng.integers(0, 256, (40, 60, 3), np.uint8),
            "character": rng.integers(0, 256, (50, 50, 3), np.uint8),
            "prompt": "make the person smile",
            "spec": EacpsSpec(seed=7, global_candidates=8, parents=2, children_per_parent=3),
            "objective": Objective(Weights({"brightness": 1.0})),
            "micro_batch": 4,
        }
        given = {**defaults, **fields}
        pictures = {one.name: given.pop(one.name) for one in dataclasses.fields(SearchPictures) if one.name in given}
        return SearchPlan(SearchSettings(**given), SearchPictures(**pictures))

    return make


@pytest.fixture
def make_services() -> Callable[..., Services]:
    """Makes a services over toy models and one toy scorer; it never pauses. Keywords replace fields."""

    def make(**fields: Any) -> Services:
        defaults: dict[str, Any] = {
            "models": ToyModels(),
            "scorers": {"brightness": ToyScorer()},
            "limits": NO_PAUSE,
        }
        return Services(**{**defaults, **fields})

    return make

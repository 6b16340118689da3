"""Which strategy options ask for, and which of them do not go together."""

from typing import Any

import pytest

from eacps.cli.outcome import CommandFailed
from eacps.cli.strategies import search_settings
from eacps.v1 import search_service_pb2 as pb


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({}, {}),
        ({"strategy": None, "trajectories": None}, {}),
        ({"seed": 0, "first_seed": 7, "micro_batch": 3}, {"random_seed": 0, "first_seed": 7, "micro_batch": 3}),
        ({"trajectories": 9}, {"eacps_adaptive": {"trajectories": 9}}),
        ({"strategy": "eacps-adaptive"}, {"eacps_adaptive": {}}),
        ({"strategy": "best-of-n"}, {"best_of_n": {}}),
        ({"strategy": "best-of-n", "trajectories": 9}, {"best_of_n": {"trajectories": 9}}),
        ({"strategy": "eacps", "seed": 1}, {"eacps": {}, "random_seed": 1}),
        (
            {"global_candidates": 5, "parents": 2, "children": 3, "rounds": 0},
            {"eacps": {"global_candidates": 5, "parents": 2, "children_per_parent": 3, "local_rounds": 0}},
        ),
        ({"angle": 0.5, "angle_decay": 1.0}, {"eacps": {"spherical": {"angle": 0.5, "angle_decay": 1.0}}}),
        ({"local_move": "spherical"}, {"eacps": {"spherical": {}}}),
        ({"local_move": "spherical", "angle": 0.5}, {"eacps": {"spherical": {"angle": 0.5}}}),
        ({"seed_radius": 9}, {"eacps": {"seed_offset": {"radius": 9}}}),
        ({"local_move": "seed-offset"}, {"eacps": {"seed_offset": {}}}),
    ],
)
def test_options_are_settings_of_the_strategy_that_has_them(options: dict[str, Any], settings: dict[str, Any]) -> None:
    assert search_settings(options) == pb.SearchSettings(**settings)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "best-of-n", "rounds": 2}, "--rounds is no option of --strategy best-of-n"),
        ({"strategy": "eacps", "trajectories": 2}, "--trajectories is no option of --strategy eacps"),
        ({"trajectories": 9, "rounds": 2}, "no strategy has all of --trajectories and --rounds"),
        ({"local_move": "seed-offset", "angle": 0.5}, "--angle contradicts seed-offset"),
        ({"angle": 0.5, "seed_radius": 9}, "--seed-radius contradicts spherical"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CommandFailed, match=message):
        search_settings(options)

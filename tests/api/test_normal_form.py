"""What a request means does not depend on how it is written."""

from typing import Any

import pytest

from eacps.api.normal_form import normal_form
from eacps.api.validation import Rules, plan_of
from eacps.v1 import search_service_pb2 as pb
from tests.api.conftest import RULES

SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"search": {}, "sampler": {}, "budget": {}}),
    ({}, {"search": {"eacps_adaptive": {}}}),
    (
        {},
        {
            "search": {
                "eacps_adaptive": {
                    "trajectories": 32,
                    "rounds": 8,
                    "fresh_share": 0.1,
                    "crossover": True,
                    "restarts": True,
                }
            }
        },
    ),
    (
        {"search": {"eacps_adaptive": {"trajectories": 64}}},
        {"search": {"eacps_adaptive": {"trajectories": 64, "rounds": 16}}},
    ),
    ({}, {"search": {"low_diversity": pb.LOW_DIVERSITY_WIDEN, "micro_batch": 8, "score_repeats": 3}}),
    ({"search": {"eacps": {}}}, {"search": {"eacps": {"spherical": {"angle": 0.6, "angle_decay": 0.7}}}}),
    (
        {"search": {"eacps": {}}},
        {"search": {"eacps": {"global_candidates": 16, "parents": 4, "children_per_parent": 4}}},
    ),
    ({"search": {"eacps": {"global_candidates": 2}}}, {"search": {"eacps": {"global_candidates": 2, "parents": 2}}}),
    ({"search": {"eacps": {}}}, {"search": {"eacps": {"local_rounds": 1}, "low_diversity": pb.LOW_DIVERSITY_REPORT}}),
    ({"search": {"eacps": {"seed_offset": {}}}}, {"search": {"eacps": {"seed_offset": {"radius": 1024}}}}),
    ({"search": {"best_of_n": {}}}, {"search": {"best_of_n": {"trajectories": 16}}}),
    ({"search": {"random_seed": 0}}, {"search": {"random_seed": 0, "first_seed": 0}}),
    ({}, {"sampler": {"true_cfg_scale": 1.0}}),
    ({"search": {"avoided_seeds": [1, 2]}}, {"search": {"avoided_seeds": [2, 1, 2]}}),
    (
        {"search": {"start": [{"candidate": {"candidate_id": "g0-000"}}]}},
        {"search": {"start": [{"candidate": {"candidate_id": "g0-000"}, "known": {"scores": {"identity": 0.5}}}]}},
    ),
    ({}, {"framing": pb.FRAMING_AUTO, "missing_scores": pb.MISSING_SCORES_LOWER_BOUND, "priority": 100}),
    ({}, {"scalarization": pb.SCALARIZATION_WEIGHTED_SUM, "detach": True}),
    (
        {"scorers": [{"name": "a", "weight": 1.0}, {"name": "b"}]},
        {"scorers": [{"name": "b", "weight": -0.0}, {"name": "a", "weight": 1}]},
    ),
    (
        {"search": {"eacps_adaptive": {"fresh_share": 0.0}}},
        {"search": {"eacps_adaptive": {"fresh_share": -0.0}}},
    ),
]
DIFFERENT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"search": {"eacps": {}}}),
    ({}, {"search": {"random_seed": 0}}),
    ({}, {"search": {"avoided_seeds": [1]}}),
    ({}, {"search": {"start": [{"candidate": {"candidate_id": "g0-000"}}]}}),
    ({}, {"search": {"low_diversity": pb.LOW_DIVERSITY_REPORT}}),
    ({}, {"search": {"eacps_adaptive": {"crossover": False}}}),
    ({"search": {"eacps": {}}}, {"search": {"eacps": {"seed_offset": {}}}}),
    ({}, {"sampler": {"steps": 8}}),  # the default is the checkpoint's
    ({}, {"sampler": {"character_as_reference": True}}),  # likewise
    ({}, {"prior": {"swap": {}}}),  # the default is the server's
    ({}, {"scene_face": {"index": 0}}),  # the default is the largest
    ({}, {"labels": {"of": "test"}}),
    ({}, {"budget": {"pictures": 1}}),
    ({"more_characters": [{"artifact": "a"}]}, {"more_characters": [{"artifact": "b"}]}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_requests_that_mean_the_same_have_the_same_form(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert normal_form(pb.RunSearchRequest(**one)) == normal_form(pb.RunSearchRequest(**other))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_requests_that_mean_something_else_have_another_form(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert normal_form(pb.RunSearchRequest(**one)) != normal_form(pb.RunSearchRequest(**other))


@pytest.mark.parametrize(
    "search", [{}, {"eacps": {"global_candidates": 3}}, {"eacps": {"seed_offset": {}}}, {"best_of_n": {}}]
)
def test_the_form_asks_for_what_the_request_asks_for(make_request: Any, search: dict[str, Any]) -> None:
    request = make_request(search=pb.SearchSettings(**search))
    assert planned(normal_form(request)).settings.spec == planned(request).settings.spec
    assert normal_form(normal_form(request)) == normal_form(request)


def test_what_a_future_client_says_beside_it_does_not_count() -> None:
    unknown = pb.RunSearchRequest.FromString(pb.RunSearchRequest(prompt="smile").SerializeToString() + b"\xfa\x3f\x01x")
    assert (
        normal_form(unknown).SerializeToString() == normal_form(pb.RunSearchRequest(prompt="smile")).SerializeToString()
    )


def planned(request: pb.RunSearchRequest, rules: Rules = RULES) -> Any:
    return plan_of(request, rules, search_id="test", drawn_seed=9)

"""Settings name every fault at once and survive JSON."""

import json
import math

import pytest

from eacps.errors import InvalidSearchSpec
from eacps.search.spec import BestOfNSpec, EacpsSpec, SearchSpec, SeedOffset, SphericalMove, spec_from_dict

SPECS = [
    BestOfNSpec(seed=2**64 - 1, candidates=7, first_seed=3),
    EacpsSpec(seed=1, global_candidates=5, parents=2, children_per_parent=3, rounds=2),
    EacpsSpec(seed=1, local=SeedOffset(radius=9), rounds=0, first_seed=0),
]


@pytest.mark.parametrize("spec", SPECS)
def test_json_restores_a_spec(spec: SearchSpec) -> None:
    assert spec_from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(("spec", "total"), list(zip(SPECS, [7, 5 + 2 * 2 * 3, 16], strict=True)))
def test_total_candidates(spec: SearchSpec, total: int) -> None:
    assert spec.total_candidates == total


def test_defaults_are_those_of_the_api() -> None:
    spec = EacpsSpec(seed=1)
    assert (spec.global_candidates, spec.parents, spec.children_per_parent, spec.rounds) == (16, 4, 4, 1)
    assert (BestOfNSpec(seed=1).candidates, SeedOffset().radius, SphericalMove()) == (16, 1024, SphericalMove(0.6, 0.7))


def fields_at_fault(caught: pytest.ExceptionInfo[InvalidSearchSpec]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(InvalidSearchSpec) as caught:
        EacpsSpec(
            seed=-1,
            global_candidates=0,
            parents=0,
            children_per_parent=-3,
            rounds=-1,
            local=SphericalMove(angle=math.nan, decay=0.0),
            first_seed=2**32,
        )
    counts = {"global_candidates", "parents", "children_per_parent", "rounds"}
    assert fields_at_fault(caught) == {"seed", "first_seed", "local.angle", "local.decay"} | counts


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"parents": 17}, "parents"),
        ({"global_candidates": 4000, "rounds": 16}, "rounds"),
        ({"local": SphericalMove(angle=2.0)}, "local.angle"),
        ({"local": SphericalMove(angle=0.0)}, "local.angle"),
        ({"local": SphericalMove(decay=0.5), "rounds": 16}, "local.decay"),
        ({"local": SeedOffset(radius=0)}, "local.radius"),
        ({"local": SeedOffset(radius=2**31)}, "local.radius"),
        ({"rounds": 1.0}, "rounds"),
        ({"seed": True}, "seed"),
        ({"seed": 2**64}, "seed"),
    ],
)
def test_a_single_fault_is_named_alone(settings: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidSearchSpec) as caught:
        EacpsSpec(**{"seed": 0, **settings})  # type: ignore[arg-type]
    assert fields_at_fault(caught) == {field}


def test_best_of_n_needs_candidates() -> None:
    with pytest.raises(InvalidSearchSpec) as caught:
        BestOfNSpec(seed=0, candidates=0, first_seed=-1)
    assert fields_at_fault(caught) == {"candidates", "first_seed"}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"strategy": "simulated_annealing", "seed": 1},
        {"strategy": "best_of_n"},
        {"strategy": "best_of_n", "seed": 1, "color": "red"},
        {"strategy": "eacps", "seed": 1},
        {"strategy": "eacps", "seed": 1, "local": {"move": "jump"}},
        {"strategy": "eacps", "seed": 1, "local": {"move": "spherical", "radius": 3}},
    ],
)
def test_malformed_specs_are_refused(data: dict[str, object]) -> None:
    with pytest.raises(InvalidSearchSpec):
        spec_from_dict(data)

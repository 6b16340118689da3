"""Every field at fault is named, and what is absent takes the documented default."""

import io
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from eacps.api.validation import Rules, plan_of
from eacps.errors import InvalidRequest
from eacps.evaluation import SearchPlan
from eacps.imaging import encode_png
from eacps.limits import DEFAULT_WEIGHTS
from eacps.scene.choice import ByBox, ByIndex, ByLikeness, Largest
from eacps.search.budget import Budget
from eacps.search.objective import MissingPolicy, Objective, Scalarization
from eacps.search.potential import Weights
from eacps.search.spec import AdaptiveSpec, BestOfNSpec, EacpsSpec, SeedOffset, SphericalMove
from eacps.v1 import search_service_pb2 as pb

MakeRequest = Callable[..., pb.RunSearchRequest]
RULES = Rules(frozenset({*DEFAULT_WEIGHTS, "openai.realism"}))


def plan(request: pb.RunSearchRequest, rules: Rules = RULES) -> SearchPlan:
    return plan_of(request, rules, search_id="test", drawn_seed=99)


def faults(request: pb.RunSearchRequest) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        plan(request)
    return {violation.field: violation.description for violation in caught.value.violations}


def image(data: bytes) -> pb.Image:
    return pb.Image(data=data)


def gray(width: int, height: int, value: int = 255) -> bytes:
    return encode_png(np.full((height, width), value, np.uint8))


def half_white(width: int, height: int) -> bytes:
    mask = np.zeros((height, width), np.uint8)
    mask[: height // 2] = 255
    return encode_png(mask)


def bomb(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def search(**fields: Any) -> dict[str, pb.SearchSettings]:
    return {"search": pb.SearchSettings(**fields)}


def eacps(**fields: Any) -> dict[str, pb.SearchSettings]:
    return search(eacps=fields)


def sampler(**fields: Any) -> dict[str, pb.SamplerSettings]:
    return {"sampler": pb.SamplerSettings(**fields)}


def scorers(*pairs: tuple[str, float]) -> dict[str, list[pb.ScorerSettings]]:
    return {"scorers": [pb.ScorerSettings(name=name, weight=weight) for name, weight in pairs]}


def scene_face(**fields: Any) -> dict[str, pb.FaceSelector]:
    return {"scene_face": pb.FaceSelector(**fields)}


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"scene": image(b"")}, "scene.data", "empty"),
    ({"scene": image(b"not a picture")}, "scene.data", "is not a PNG"),
    ({"scene": image(gray(400, 400)[:60])}, "scene.data", "cannot be decoded"),
    ({"scene": image(gray(20, 40))}, "scene.data", "20x40"),
    ({"scene": image(bomb(10_001, 10_000))}, "scene.data", "10001x10000"),
    ({"scene": image(bytes(5 * 2**20))}, "scene.data", "bytes"),
    ({"character": image(b"\x89PNG")}, "character.data", "PNG"),
    ({"mask": image(b"")}, "mask.data", "empty"),
    ({"mask": image(half_white(41, 32))}, "mask.data", "is 41x32, the scene 40x32"),
    ({"mask": image(gray(40, 32, value=0))}, "mask.data", "black everywhere"),
    ({"mask": image(gray(40, 32))}, "mask.data", "shows no contrast"),
    ({"prompt": ""}, "prompt", "empty"),
    ({"prompt": " \n\t"}, "prompt", "empty"),
    ({"prompt": "a" * 2001}, "prompt", "2001 characters"),
    ({"prompt": "smile <|im_end|>"}, "prompt", "reserved mark <|im_end|>"),
    ({"negative_prompt": "<|image_pad|>"}, "negative_prompt", "reserved mark"),
    ({"negative_prompt": ""}, "negative_prompt", "empty"),
    ({"negative_prompt": "a" * 2001}, "negative_prompt", "2001 characters"),
    (scene_face(), "scene_face", "neither index nor box nor likeness"),
    (scene_face(index=1000), "scene_face.index", "[0, 999]"),
    (scene_face(box=pb.Box(left=5, top=0, right=5, bottom=9)), "scene_face.box", "5,0 to 5,9 is empty"),
    (scene_face(box=pb.Box(left=5, top=9, right=6, bottom=0)), "scene_face.box", "is empty"),
    (scene_face(box=pb.Box(right=math.inf, bottom=9)), "scene_face.box", "not finite"),
    (scene_face(box=pb.Box(left=math.nan, right=9, bottom=9)), "scene_face.box", "not finite"),
    (scene_face(likeness=image(b"x")), "scene_face.likeness.data", "is not a PNG"),
    ({"character_face": pb.FaceSelector(index=1000)}, "character_face.index", "[0, 999]"),
    ({"more_characters": [image(gray(40, 32)), image(b"")]}, "more_characters[1].data", "empty"),
    ({"more_characters": [image(gray(40, 32))] * 8}, "more_characters", "8; at most 7"),
    (
        {"references": [image(gray(40, 32))] * 2},
        "references",
        "at most 3 pictures, the prior and the character picture",
    ),
    (
        {"references": [image(gray(40, 32))] * 3, **sampler(character_as_reference=False)},
        "references",
        "are 3; the model sees at most 3 pictures, the prior among them",
    ),
    ({"references": [image(b"GIF89a")]}, "references[0].data", "is not a PNG"),
    (sampler(steps=0), "sampler.steps", "[1, 100]"),
    (sampler(steps=101), "sampler.steps", "[1, 100]"),
    (sampler(true_cfg_scale=0.5), "sampler.true_cfg_scale", "[1, 20]"),
    (sampler(true_cfg_scale=math.nan), "sampler.true_cfg_scale", "nan"),
    (sampler(true_cfg_scale=math.inf), "sampler.true_cfg_scale", "inf"),
    (eacps(global_candidates=0), "search.eacps.global_candidates", "[1, 512]"),
    (eacps(global_candidates=513), "search.eacps.global_candidates", "[1, 512]"),
    (eacps(parents=0), "search.eacps.parents", "[1, 64]"),
    (eacps(parents=65), "search.eacps.parents", "[1, 64]"),
    (eacps(global_candidates=3, parents=4), "search.eacps.parents", "above the 3 candidates"),
    (eacps(children_per_parent=0), "search.eacps.children_per_parent", "[1, 64]"),
    (eacps(local_rounds=17), "search.eacps.local_rounds", "[0, 16]"),
    (
        eacps(global_candidates=512, parents=64, children_per_parent=64, local_rounds=2),
        "search.eacps.local_rounds",
        "8704 candidates",
    ),
    (eacps(spherical={"angle": 0.0}), "search.eacps.spherical.angle", "[0.001, 1.5708]"),
    (eacps(spherical={"angle": 1.6}), "search.eacps.spherical.angle", "[0.001, 1.5708]"),
    (eacps(spherical={"angle": math.nan}), "search.eacps.spherical.angle", "nan"),
    (eacps(spherical={"angle": 0.0009}), "search.eacps.spherical.angle", "[0.001, 1.5708]"),
    (
        eacps(spherical={"angle_decay": 0.01}, local_rounds=3),
        "search.eacps.spherical.angle_decay",
        "in round 3, below 0.001",
    ),
    (eacps(spherical={"angle_decay": 0.0}), "search.eacps.spherical.angle_decay", "(0, 1]"),
    (eacps(spherical={"angle_decay": 1.01}), "search.eacps.spherical.angle_decay", "(0, 1]"),
    (eacps(seed_offset={"radius": 0}), "search.eacps.seed_offset.radius", "[1, 2147483647]"),
    (search(best_of_n={"trajectories": 4097}), "search.best_of_n.trajectories", "[1, 4096]"),
    (search(micro_batch=0), "search.micro_batch", "[1, 16]"),
    (search(micro_batch=17), "search.micro_batch", "[1, 16]"),
    (scorers(("beauty", 1.0)), "scorers[0].name", "'beauty' is not offered"),
    (scorers(("identity", 1.0), ("identity", 2.0)), "scorers[1].name", "named twice"),
    (scorers(("identity", -1.0)), "scorers[0].weight", "-1.0"),
    (scorers(("identity", math.nan)), "scorers[0].weight", "nan"),
    (scorers(("identity", math.inf)), "scorers[0].weight", "inf"),
    (
        {"scorers": [pb.ScorerSettings(name=name, held_out=True) for name in DEFAULT_WEIGHTS]},
        "scorers",
        "no weight above",
    ),
    (scorers(*[("identity", 1.0)] * 17), "scorers", "at most 16"),
]


@pytest.mark.parametrize(("fields", "field", "words"), BAD, ids=[f"{field}: {words}" for _, field, words in BAD])
def test_names_the_field_at_fault(make_request: MakeRequest, fields: dict[str, Any], field: str, words: str) -> None:
    found = faults(make_request(**fields))
    assert list(found) == [field]
    assert words in found[field]


def test_names_all_fields_at_fault_at_once() -> None:
    request = pb.RunSearchRequest(
        character=image(b"x"),
        mask=image(b"y"),
        negative_prompt="",
        sampler=pb.SamplerSettings(steps=0, true_cfg_scale=0.0),
        search=pb.SearchSettings(eacps={"global_candidates": 0, "spherical": {"angle": -1.0}}, micro_batch=99),
        scorers=[pb.ScorerSettings(name="beauty", weight=-1.0)],
        scene_face=pb.FaceSelector(index=1000),
    )
    assert set(faults(request)) == {
        "scene",
        "character.data",
        "mask.data",
        "prompt",
        "negative_prompt",
        "sampler.steps",
        "sampler.true_cfg_scale",
        "search.eacps.global_candidates",
        "search.eacps.spherical.angle",
        "search.micro_batch",
        "scorers[0].name",
        "scorers[0].weight",
        "scene_face.index",
    }


def test_an_empty_request_lacks_pictures_and_prompt() -> None:
    assert set(faults(pb.RunSearchRequest())) == {"scene", "character", "prompt"}


def test_defaults_are_those_of_the_api(make_request: MakeRequest) -> None:
    made = plan(make_request(search=None))
    assert made.settings.spec == AdaptiveSpec(99, 32, rounds=8, first_seed=None)
    assert made.settings.objective == Objective(Weights(DEFAULT_WEIGHTS))
    assert (made.settings.budget, made.settings.score_repeats) == (Budget(), 3)
    assert (made.settings.steps, made.settings.true_cfg_scale) == (None, 1.0)
    assert made.settings.character_as_reference is None
    assert (made.pictures.mask, made.settings.negative_prompt, made.settings.micro_batch) == (None, None, 8)
    assert (made.pictures.scene_face, made.pictures.character_face) == (Largest(), Largest())


def test_without_a_weight_the_default_weights_count_and_what_is_said_beside_them(make_request: MakeRequest) -> None:
    named = [
        pb.ScorerSettings(name="identity", floor=0.5),
        pb.ScorerSettings(name="prompt", held_out=True),
        pb.ScorerSettings(name="openai.realism"),
    ]
    made = plan(
        make_request(scorers=named), rules=replace(RULES, default_held_out=frozenset({"openai.prompt", "prompt"}))
    )
    assert made.settings.objective == Objective(
        Weights({"identity": 0.5, "realism": 0.3, "prompt": 0.0, "openai.realism": 0.0}),
        {"identity": 0.5},
        held_out=frozenset({"prompt", "openai.prompt"}),
    )


def test_what_the_server_reports_by_default_is_reported_beside_any_weights(make_request: MakeRequest) -> None:
    verifier = frozenset({"identity_heldout"})
    rules = replace(RULES, scorers=RULES.scorers | verifier, default_held_out=verifier)
    assert plan(make_request(**scorers(("identity", 1.0))), rules).settings.objective.held_out == verifier
    searched = plan(make_request(**scorers(("identity", 1.0), ("identity_heldout", 1.0))), rules)
    assert searched.settings.objective.held_out == frozenset()


def test_every_strategy_has_settings_of_its_own(make_request: MakeRequest) -> None:
    assert plan(make_request(**search())).settings.spec == plan(make_request(**search(eacps_adaptive={}))).settings.spec
    adaptive = search(eacps_adaptive={"trajectories": 9, "rounds": 2, "crossover": False})
    assert plan(make_request(**adaptive)).settings.spec == AdaptiveSpec(99, 9, rounds=2, crossover=False)
    assert plan(make_request(**eacps(local_rounds=2))).settings.spec == EacpsSpec(
        99, 16, 4, 4, 2, SphericalMove(0.6, 0.7)
    )
    assert plan(make_request(**search(best_of_n={}))).settings.spec == BestOfNSpec(99, 16, None)
    assert plan(make_request(**search(best_of_n={"trajectories": 2}))).settings.spec == BestOfNSpec(99, 2, None)


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(2**62, 0), (-(2**62), 0), (1, -5), (0, 2**31 - 1), (315_576_000_001, 0), (0, 0), (0, -1)]
)
def test_a_wall_time_is_a_duration_above_nothing(make_request: MakeRequest, seconds: int, nanos: int) -> None:
    budget = pb.Budget(wall_time=Duration(seconds=seconds, nanos=nanos))
    with pytest.raises(InvalidRequest) as caught:
        plan(make_request(budget=budget))
    assert [violation.field for violation in caught.value.violations] == ["budget.wall_time"]


def test_what_counts_and_when_to_stop_are_taken(make_request: MakeRequest) -> None:
    floored = [
        pb.ScorerSettings(name="identity", weight=2.0, floor=0.5),
        pb.ScorerSettings(name="realism", weight=0.0, held_out=True),
    ]
    budget = pb.Budget(
        denoiser_evaluations=40, pictures=9, vlm_calls=7, target_potential=0.9, min_gain_per_trajectory=0.002
    )
    budget.wall_time.FromSeconds(12)
    made = plan(
        make_request(
            scorers=floored,
            budget=budget,
            scalarization=pb.SCALARIZATION_GEOMETRIC_MEAN,
            missing_scores=pb.MISSING_SCORES_DROP,
        )
    )
    assert made.settings.objective == Objective(
        Weights({"identity": 2.0, "realism": 0.0}),
        {"identity": 0.5},
        Scalarization.GEOMETRIC_MEAN,
        frozenset({"realism"}),
        MissingPolicy.DROP,
    )
    assert made.settings.budget == Budget(40, 9, 7, 12.0, 0.9, 0.002)
    assert made.settings.scorers == ["identity", "realism"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"scorers": [pb.ScorerSettings(name="identity", weight=1, held_out=True)]}, "scorers[0].weight"),
        ({"scorers": [pb.ScorerSettings(name="identity", weight=1, floor=1.5)]}, "scorers[0].floor"),
        ({"budget": pb.Budget(pictures=0)}, "budget.pictures"),
        ({"budget": pb.Budget(target_potential=0.0)}, "budget.target_potential"),
        ({"scalarization": 9}, "scalarization"),
        ({"missing_scores": 9}, "missing_scores"),
        (search(low_diversity=9), "search.low_diversity"),
        (search(eacps_adaptive={"trajectories": 0}), "search.eacps_adaptive.trajectories"),
        (search(eacps_adaptive={"fresh_share": -0.1}), "search.eacps_adaptive.fresh_share"),
        (search(score_repeats=0), "search.score_repeats"),
    ],
)
def test_what_is_out_of_range_is_named(make_request: MakeRequest, fields: dict[str, Any], path: str) -> None:
    assert path in faults(make_request(**fields))


def test_a_blank_negative_prompt_asks_for_plain_guidance(make_request: MakeRequest) -> None:
    made = plan(make_request(negative_prompt=" ", **sampler(true_cfg_scale=4.0)))
    assert made.settings.negative_prompt == " "


def test_a_negative_prompt_is_refused_where_none_guides(make_request: MakeRequest) -> None:
    unguided = replace(RULES, negative_prompts=False)
    with pytest.raises(InvalidRequest) as caught:
        plan(make_request(negative_prompt="blurred", **sampler(true_cfg_scale=4.0)), unguided)
    assert [one.field for one in caught.value.violations] == ["negative_prompt"]
    # At scale 1 it has no effect anywhere.
    assert plan(make_request(negative_prompt="blurred"), unguided).settings.negative_prompt == "blurred"
    assert not plan(make_request(**sampler(true_cfg_scale=4.0)), unguided).settings.guided


def test_zero_is_not_absent(make_request: MakeRequest) -> None:
    made = plan(make_request(**search(random_seed=0, first_seed=0, eacps={"local_rounds": 0}), **scene_face(index=0)))
    assert (made.settings.spec.seed, made.settings.spec.first_seed, made.settings.spec.rounds) == (0, 0, 0)
    assert (made.pictures.scene_face, made.pictures.character_face) == (ByIndex(0), Largest())


def test_everything_said_is_taken(make_request: MakeRequest) -> None:
    made = plan(
        make_request(
            mask=image(half_white(40, 32)),
            negative_prompt="blurry",
            **sampler(steps=20, true_cfg_scale=4.0, character_as_reference=False),
            **search(
                eacps={
                    "global_candidates": 9,
                    "parents": 3,
                    "children_per_parent": 2,
                    "local_rounds": 2,
                    "seed_offset": {"radius": 100},
                },
                random_seed=1,
                first_seed=2,
                micro_batch=16,
            ),
            **scorers(("identity", 3.0), ("openai.realism", 0.0)),
        )
    )
    assert made.settings.spec == EacpsSpec(1, 9, 3, 2, 2, SeedOffset(100), 2)
    assert made.settings.objective.weights.raw == {"identity": 3.0, "openai.realism": 0.0}
    assert (made.settings.steps, made.settings.true_cfg_scale, made.settings.character_as_reference) == (20, 4.0, False)
    assert made.pictures.mask is not None
    assert made.pictures.mask.shape == (32, 40)
    assert made.pictures.scene.shape == (32, 40, 3)
    assert (made.settings.negative_prompt, made.settings.micro_batch) == ("blurry", 16)


def test_faces_are_chosen_by_what_was_said(make_request: MakeRequest) -> None:
    made = plan(make_request(**scene_face(index=0), character_face=pb.FaceSelector(index=7)))
    assert (made.pictures.scene_face, made.pictures.character_face) == (ByIndex(0), ByIndex(7))
    box = pb.Box(left=-1.5, top=2, right=30, bottom=31)
    made = plan(make_request(**scene_face(box=box), character_face=pb.FaceSelector(likeness=image(gray(48, 36)))))
    assert made.pictures.scene_face == ByBox((-1.5, 2.0, 30.0, 31.0))
    assert isinstance(made.pictures.character_face, ByLikeness)
    assert made.pictures.character_face.picture.shape == (36, 48, 3)


def test_further_pictures_are_taken_in_their_order(make_request: MakeRequest) -> None:
    pictures = [image(gray(40 + place, 32)) for place in range(7)]
    made = plan(make_request(more_characters=pictures, references=pictures[:1]))
    assert [one.shape[1] for one in made.pictures.more_characters] == list(range(40, 47))
    assert [one.shape[1] for one in made.pictures.references] == [40]
    made = plan(make_request(references=pictures[:2], **sampler(character_as_reference=False)))
    assert len(made.pictures.references) == 2


def test_defaults_do_not_contradict_what_was_said(make_request: MakeRequest) -> None:
    made = plan(make_request(**eacps(global_candidates=2)))
    assert isinstance(made.settings.spec, EacpsSpec)
    assert made.settings.spec.parents == 2


SMALL_PICTURES = [gray(32, 32), gray(40, 32), gray(8, 8), b"", b"GIF89a", bomb(4000, 4001)]
INT32 = st.integers(-(2**31), 2**31 - 1)
MOVES = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {"spherical": st.fixed_dictionaries({}, optional={"angle": st.floats(), "angle_decay": st.floats()})}
    ),
    st.fixed_dictionaries({"seed_offset": st.fixed_dictionaries({}, optional={"radius": INT32})}),
)
STRATEGIES = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {
            "eacps_adaptive": st.fixed_dictionaries(
                {},
                optional={
                    "trajectories": st.integers(-1, 5000),
                    "rounds": st.integers(-1, 70),
                    "fresh_share": st.floats(),
                    "crossover": st.booleans(),
                },
            )
        }
    ),
    st.fixed_dictionaries(
        {
            "eacps": st.builds(
                lambda move, numbers: {**move, **numbers},
                MOVES,
                st.fixed_dictionaries(
                    {},
                    optional={
                        "global_candidates": st.integers(-1, 600),
                        "parents": st.integers(-1, 80),
                        "children_per_parent": st.integers(-1, 80),
                        "local_rounds": st.integers(-1, 20),
                    },
                ),
            )
        }
    ),
    st.fixed_dictionaries({"best_of_n": st.fixed_dictionaries({}, optional={"trajectories": st.integers(-1, 5000)})}),
)
FIELDS = {
    pb.SamplerSettings: st.builds(
        pb.SamplerSettings,
        steps=st.none() | INT32,
        true_cfg_scale=st.none() | st.floats(),
        character_as_reference=st.none() | st.booleans(),
    ),
    pb.SearchSettings: st.builds(
        lambda strategy, **fields: pb.SearchSettings(**strategy, **fields),
        strategy=STRATEGIES,
        random_seed=st.none() | st.integers(0, 2**32 - 1),
        first_seed=st.none() | st.integers(0, 2**32 - 1),
        micro_batch=st.none() | st.integers(0, 20),
        low_diversity=st.integers(-3, 4),
        score_repeats=st.none() | st.integers(0, 12),
    ),
    pb.ScorerSettings: st.builds(
        pb.ScorerSettings,
        name=st.sampled_from(["identity", "prompt", "", "x" * 99]),
        weight=st.floats(),
        floor=st.none() | st.floats(),
        held_out=st.booleans(),
        question=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    ),
    # By number: Hypothesis writes strategies out, and the bytes would fill pages.
    pb.Image: st.integers(0, len(SMALL_PICTURES) - 1).map(lambda number: image(SMALL_PICTURES[number])),
}
FIELDS[pb.FaceSelector] = st.one_of(
    st.just(pb.FaceSelector()),
    st.builds(pb.FaceSelector, index=INT32),
    st.builds(pb.FaceSelector, box=st.builds(pb.Box, **dict.fromkeys(("left", "top", "right", "bottom"), st.floats()))),
    st.builds(pb.FaceSelector, likeness=FIELDS[pb.Image]),
)
REQUESTS = st.builds(
    pb.RunSearchRequest,
    scene=st.none() | FIELDS[pb.Image],
    character=st.none() | FIELDS[pb.Image],
    mask=st.none() | FIELDS[pb.Image],
    prompt=st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
    negative_prompt=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
    sampler=st.none() | FIELDS[pb.SamplerSettings],
    search=st.none() | FIELDS[pb.SearchSettings],
    scorers=st.lists(FIELDS[pb.ScorerSettings], max_size=18),
    scene_face=st.none() | FIELDS[pb.FaceSelector],
    character_face=st.none() | FIELDS[pb.FaceSelector],
    more_characters=st.lists(FIELDS[pb.Image], max_size=9),
    references=st.lists(FIELDS[pb.Image], max_size=4),
)


@settings(max_examples=150, deadline=None)
@given(REQUESTS)
def test_any_request_is_either_planned_or_refused_by_field(request: pb.RunSearchRequest) -> None:
    try:
        made = plan(request)
    except InvalidRequest as exc:
        refused = exc
    else:
        assert 1 <= made.settings.spec.total_candidates <= 4096
        assert sum(made.settings.objective.weights.normalized.values()) == pytest.approx(1.0)
        return
    assert refused.violations
    assert all(violation.field and violation.description for violation in refused.violations)

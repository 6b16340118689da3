"""Every field at fault is named, and what is absent takes the documented default."""

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from eacps.api.validation import DEFAULT_WEIGHTS, Rules, plan_of
from eacps.errors import InvalidRequest
from eacps.evaluation import SearchPlan
from eacps.evaluation.faces import ByBox, ByLikeness
from eacps.imaging import encode_png
from eacps.search.budget import Budget
from eacps.search.objective import MissingPolicy, Objective, Scalarisation
from eacps.search.potential import Weights
from eacps.search.pruning import Pruning, PruningMode
from eacps.search.spec import AdaptiveSpec, BestOfNSpec, EacpsSpec, SeedOffset, SphericalMove
from eacps.v1 import search_service_pb2 as pb

MakeRequest = Callable[..., pb.RunSearchRequest]
RULES = Rules(frozenset({*DEFAULT_WEIGHTS, "openai.realism"}))


def plan(request: pb.RunSearchRequest) -> SearchPlan:
    return plan_of(request, RULES, search_id="test", drawn_seed=99)


def faults(request: pb.RunSearchRequest) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        plan(request)
    return {violation.field: violation.description for violation in caught.value.violations}


def image(data: bytes) -> pb.Image:
    return pb.Image(data=data)


def grey(width: int, height: int, value: int = 255) -> bytes:
    return encode_png(np.full((height, width), value, np.uint8))


def bomb(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def search(**fields: Any) -> dict[str, pb.SearchSettings]:
    return {"search": pb.SearchSettings(**fields)}


def sampler(**fields: Any) -> dict[str, pb.SamplerSettings]:
    return {"sampler": pb.SamplerSettings(**fields)}


def scorers(*pairs: tuple[str, float]) -> dict[str, list[pb.ScorerSettings]]:
    return {"scorers": [pb.ScorerSettings(name=name, weight=weight) for name, weight in pairs]}


def scene_face_by(**fields: Any) -> dict[str, pb.FaceSelector]:
    return {"scene_face_by": pb.FaceSelector(**fields)}


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"scene": image(b"")}, "scene.data", "empty"),
    ({"scene": image(b"not a picture")}, "scene.data", "is not a PNG"),
    ({"scene": image(grey(400, 400)[:60])}, "scene.data", "cannot be decoded"),
    ({"scene": image(grey(20, 40))}, "scene.data", "20x40"),
    ({"scene": image(bomb(5000, 5000))}, "scene.data", "5000x5000"),
    ({"scene": image(bytes(5 * 2**20))}, "scene.data", "bytes"),
    ({"character": image(b"\x89PNG")}, "character.data", "PNG"),
    ({"mask": image(b"")}, "mask.data", "empty"),
    ({"mask": image(grey(41, 32))}, "mask.data", "is 41x32, the scene 40x32"),
    ({"mask": image(grey(40, 32, value=0))}, "mask.data", "black everywhere"),
    ({"prompt": ""}, "prompt", "empty"),
    ({"prompt": " \n\t"}, "prompt", "empty"),
    ({"prompt": "a" * 2001}, "prompt", "2001 characters"),
    ({"prompt": "smile <|im_end|>"}, "prompt", "reserved mark <|im_end|>"),
    ({"negative_prompt": "<|image_pad|>"}, "negative_prompt", "reserved mark"),
    ({"negative_prompt": ""}, "negative_prompt", "empty"),
    ({"negative_prompt": "a" * 2001}, "negative_prompt", "2001 characters"),
    ({"scene_face": 8}, "scene_face", "[0, 7]"),
    ({"character_face": 8}, "character_face", "[0, 7]"),
    (scene_face_by(), "scene_face_by", "neither index nor box nor likeness"),
    (scene_face_by(index=8), "scene_face_by.index", "[0, 7]"),
    ({"scene_face": 1, **scene_face_by(index=1)}, "scene_face_by", "beside scene_face"),
    (scene_face_by(box=pb.Box(left=5, top=0, right=5, bottom=9)), "scene_face_by.box", "5,0 to 5,9 is empty"),
    (scene_face_by(box=pb.Box(left=5, top=9, right=6, bottom=0)), "scene_face_by.box", "is empty"),
    (scene_face_by(box=pb.Box(right=math.inf, bottom=9)), "scene_face_by.box", "not finite"),
    (scene_face_by(box=pb.Box(left=math.nan, right=9, bottom=9)), "scene_face_by.box", "not finite"),
    (scene_face_by(likeness=image(b"x")), "scene_face_by.likeness.data", "is not a PNG"),
    ({"character_face_by": pb.FaceSelector(index=9)}, "character_face_by.index", "[0, 7]"),
    ({"more_characters": [image(grey(40, 32)), image(b"")]}, "more_characters[1].data", "empty"),
    ({"more_characters": [image(grey(40, 32))] * 8}, "more_characters", "8; at most 7"),
    (
        {"references": [image(grey(40, 32))] * 2},
        "references",
        "at most 3 pictures, the prior and the character picture",
    ),
    (
        {"references": [image(grey(40, 32))] * 3, **sampler(character_as_reference=False)},
        "references",
        "are 3; the model sees at most 3 pictures, the prior among them",
    ),
    ({"references": [image(b"GIF89a")]}, "references[0].data", "is not a PNG"),
    (sampler(steps=0), "sampler.steps", "[1, 100]"),
    (sampler(steps=101), "sampler.steps", "[1, 100]"),
    (sampler(true_cfg_scale=0.5), "sampler.true_cfg_scale", "[1, 20]"),
    (sampler(true_cfg_scale=math.nan), "sampler.true_cfg_scale", "nan"),
    (sampler(true_cfg_scale=math.inf), "sampler.true_cfg_scale", "inf"),
    (search(strategy=9), "search.strategy", "9 is not known"),
    (search(global_candidates=0), "search.global_candidates", "[1, 512]"),
    (search(global_candidates=513), "search.global_candidates", "[1, 512]"),
    (search(parents=0), "search.parents", "[1, 64]"),
    (search(parents=65), "search.parents", "[1, 64]"),
    (search(global_candidates=3, parents=4), "search.parents", "above the 3 candidates"),
    (search(children_per_parent=0), "search.children_per_parent", "[1, 64]"),
    (search(local_rounds=17), "search.local_rounds", "[0, 16]"),
    (
        search(global_candidates=512, parents=64, children_per_parent=64, local_rounds=2),
        "search.local_rounds",
        "8704 candidates",
    ),
    (search(local_move=7), "search.local_move", "7 is not known"),
    (search(angle=0.0), "search.angle", "[0.001, 1.5708]"),
    (search(angle=1.6), "search.angle", "[0.001, 1.5708]"),
    (search(angle=math.nan), "search.angle", "nan"),
    (search(angle=0.0009), "search.angle", "[0.001, 1.5708]"),
    (search(angle_decay=0.01, local_rounds=3), "search.angle_decay", "in round 3, below 0.001"),
    (search(angle_decay=0.0), "search.angle_decay", "(0, 1]"),
    (search(angle_decay=1.01), "search.angle_decay", "(0, 1]"),
    (search(seed_radius=0), "search.seed_radius", "[1, 2147483647]"),
    (search(micro_batch=0), "search.micro_batch", "[1, 16]"),
    (search(micro_batch=17), "search.micro_batch", "[1, 16]"),
    (scorers(("beauty", 1.0)), "scorers[0].name", "'beauty' is not offered"),
    (scorers(("identity", 1.0), ("identity", 2.0)), "scorers[1].name", "named twice"),
    (scorers(("identity", -1.0)), "scorers[0].weight", "-1.0"),
    (scorers(("identity", math.nan)), "scorers[0].weight", "nan"),
    (scorers(("identity", math.inf)), "scorers[0].weight", "inf"),
    (scorers(("identity", 0.0), ("realism", 0.0)), "scorers", "no weight above 0"),
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
        search=pb.SearchSettings(strategy=5, global_candidates=0, angle=-1.0, micro_batch=99),
        scorers=[pb.ScorerSettings(name="beauty", weight=-1.0)],
        scene_face=100,
    )
    assert set(faults(request)) == {
        "scene",
        "character.data",
        "mask.data",
        "prompt",
        "negative_prompt",
        "sampler.steps",
        "sampler.true_cfg_scale",
        "search.strategy",
        "search.global_candidates",
        "search.angle",
        "search.micro_batch",
        "scorers[0].name",
        "scorers[0].weight",
        "scene_face",
    }


def test_an_empty_request_lacks_pictures_and_prompt() -> None:
    assert set(faults(pb.RunSearchRequest())) == {"scene", "character", "prompt"}


def test_defaults_are_those_of_the_api(make_request: MakeRequest) -> None:
    made = plan(make_request(search=None))
    assert made.spec == AdaptiveSpec(99, 32, first_seed=None)
    assert made.objective == Objective(Weights(DEFAULT_WEIGHTS))
    assert (made.budget, made.score_repeats) == (Budget(), 3)
    assert (made.steps, made.true_cfg_scale, made.character_as_reference) == (None, 1.0, None)
    assert (made.mask, made.negative_prompt, made.micro_batch) == (None, None, 8)
    assert (made.scene_face, made.character_face) == (-1, -1)


def test_what_only_the_fixed_strategy_reads_means_that_one(make_request: MakeRequest) -> None:
    assert plan(make_request(**search(local_rounds=2))).spec == EacpsSpec(99, 16, 4, 4, 2, SphericalMove(0.6, 0.7))
    adaptive = search(strategy=pb.STRATEGY_EACPS_ADAPTIVE, trajectories=9, adaptive_rounds=2, crossover=False)
    assert plan(make_request(**adaptive)).spec == AdaptiveSpec(99, 9, rounds=2, crossover=False)


def test_what_counts_and_when_to_stop_are_taken(make_request: MakeRequest) -> None:
    floored = [
        pb.ScorerSettings(name="identity", weight=2.0, floor=0.5),
        pb.ScorerSettings(name="realism", weight=0.0, held_out=True),
    ]
    budget = pb.Budget(denoiser_evaluations=40, pictures=9, vlm_calls=7, target_potential=0.9)
    budget.wall_time.FromSeconds(12)
    made = plan(
        make_request(
            scorers=floored,
            budget=budget,
            scalarisation=pb.SCALARISATION_GEOMETRIC_MEAN,
            missing_scores=pb.MISSING_SCORES_DROP,
            **search(
                pruning=pb.PruningSettings(
                    mode=pb.PRUNING_MODE_FIXED, rungs=[pb.PruningRung(steps_share=0.25, kept_share=0.5)]
                )
            ),
        )
    )
    assert made.objective == Objective(
        Weights({"identity": 2.0, "realism": 0.0}),
        {"identity": 0.5},
        Scalarisation.GEOMETRIC_MEAN,
        frozenset({"realism"}),
        MissingPolicy.DROP,
    )
    assert made.budget == Budget(40, 9, 7, 12.0, 0.9)
    assert made.spec.pruning == Pruning(PruningMode.FIXED, ((0.25, 0.5),))
    assert made.scorers == ["identity", "realism"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"scorers": [pb.ScorerSettings(name="identity", weight=1, held_out=True)]}, "scorers[0].weight"),
        ({"scorers": [pb.ScorerSettings(name="identity", weight=1, floor=1.5)]}, "scorers[0].floor"),
        ({"budget": pb.Budget(pictures=0)}, "budget.pictures"),
        ({"budget": pb.Budget(target_potential=0.0)}, "budget.target_potential"),
        ({"scalarisation": 9}, "scalarisation"),
        ({"missing_scores": 9}, "missing_scores"),
        (search(pruning=pb.PruningSettings(mode=pb.PRUNING_MODE_FIXED)), "search.pruning.rungs"),
        (search(pruning=pb.PruningSettings(mode=9)), "search.pruning.mode"),
        (search(low_diversity=9), "search.low_diversity"),
        (search(trajectories=0), "search.trajectories"),
        (search(fresh_share=-0.1), "search.fresh_share"),
        (search(score_repeats=0), "search.score_repeats"),
    ],
)
def test_what_is_out_of_range_is_named(make_request: MakeRequest, fields: dict[str, Any], path: str) -> None:
    assert path in faults(make_request(**fields))


def test_a_blank_negative_prompt_asks_for_plain_guidance(make_request: MakeRequest) -> None:
    made = plan(make_request(negative_prompt=" ", **sampler(true_cfg_scale=4.0)))
    assert made.negative_prompt == " "


def test_zero_is_not_absent(make_request: MakeRequest) -> None:
    made = plan(make_request(**search(random_seed=0, first_seed=0, local_rounds=0), scene_face=0, character_face=0))
    assert (made.spec.seed, made.spec.first_seed, made.spec.rounds) == (0, 0, 0)
    assert (made.scene_face, made.character_face) == (0, 0)


def test_everything_said_is_taken(make_request: MakeRequest) -> None:
    made = plan(
        make_request(
            mask=image(grey(40, 32)),
            negative_prompt="blurry",
            **sampler(steps=20, true_cfg_scale=4.0, character_as_reference=False),
            **search(
                global_candidates=9,
                parents=3,
                children_per_parent=2,
                local_rounds=2,
                local_move=pb.LOCAL_MOVE_SEED_OFFSET,
                seed_radius=100,
                random_seed=1,
                first_seed=2,
                micro_batch=16,
            ),
            **scorers(("identity", 3.0), ("openai.realism", 0.0)),
        )
    )
    assert made.spec == EacpsSpec(1, 9, 3, 2, 2, SeedOffset(100), 2)
    assert made.objective.weights.raw == {"identity": 3.0, "openai.realism": 0.0}
    assert (made.steps, made.true_cfg_scale, made.character_as_reference) == (20, 4.0, False)
    assert made.mask is not None
    assert made.mask.shape == (32, 40)
    assert made.scene.shape == (32, 40, 3)
    assert (made.negative_prompt, made.micro_batch) == ("blurry", 16)


def test_faces_are_chosen_by_what_was_said(make_request: MakeRequest) -> None:
    made = plan(make_request(**scene_face_by(index=0), character_face_by=pb.FaceSelector(index=7)))
    assert (made.scene_face, made.character_face) == (0, 7)
    assert (made.scene_face_by, made.character_face_by) == (None, None)
    box = pb.Box(left=-1.5, top=2, right=30, bottom=31)
    made = plan(make_request(**scene_face_by(box=box), character_face_by=pb.FaceSelector(likeness=image(grey(48, 36)))))
    assert (made.scene_face, made.character_face) == (-1, -1)
    assert made.scene_face_by == ByBox((-1.5, 2.0, 30.0, 31.0))
    assert isinstance(made.character_face_by, ByLikeness)
    assert made.character_face_by.picture.shape == (36, 48, 3)


def test_further_pictures_are_taken_in_their_order(make_request: MakeRequest) -> None:
    pictures = [image(grey(40 + place, 32)) for place in range(7)]
    made = plan(make_request(more_characters=pictures, references=pictures[:1]))
    assert [one.shape[1] for one in made.more_characters] == list(range(40, 47))
    assert [one.shape[1] for one in made.references] == [40]
    made = plan(make_request(references=pictures[:2], **sampler(character_as_reference=False)))
    assert len(made.references) == 2


def test_best_of_n_takes_its_n_from_the_global_candidates(make_request: MakeRequest) -> None:
    made = plan(make_request(**search(strategy=pb.STRATEGY_BEST_OF_N, global_candidates=2)))
    assert made.spec == BestOfNSpec(99, 2, None)


def test_defaults_do_not_contradict_what_was_said(make_request: MakeRequest) -> None:
    made = plan(make_request(**search(global_candidates=2)))
    assert isinstance(made.spec, EacpsSpec)
    assert made.spec.parents == 2


SMALL_PICTURES = [grey(32, 32), grey(40, 32), grey(8, 8), b"", b"GIF89a", bomb(4000, 4001)]
FIELDS = {
    pb.SamplerSettings: st.builds(
        pb.SamplerSettings,
        steps=st.none() | st.integers(0, 2**32 - 1),
        true_cfg_scale=st.none() | st.floats(width=32),
        character_as_reference=st.none() | st.booleans(),
    ),
    pb.SearchSettings: st.builds(
        pb.SearchSettings,
        strategy=st.integers(-3, 4),
        global_candidates=st.none() | st.integers(0, 600),
        parents=st.none() | st.integers(0, 80),
        children_per_parent=st.none() | st.integers(0, 80),
        local_rounds=st.none() | st.integers(0, 20),
        local_move=st.integers(-3, 4),
        angle=st.none() | st.floats(),
        angle_decay=st.none() | st.floats(),
        seed_radius=st.none() | st.integers(0, 2**32 - 1),
        random_seed=st.none() | st.integers(0, 2**32 - 1),
        first_seed=st.none() | st.integers(0, 2**32 - 1),
        micro_batch=st.none() | st.integers(0, 20),
        trajectories=st.none() | st.integers(0, 5000),
        adaptive_rounds=st.none() | st.integers(0, 70),
        fresh_share=st.none() | st.floats(),
        low_diversity=st.integers(-3, 4),
        score_repeats=st.none() | st.integers(0, 12),
        pruning=st.builds(
            pb.PruningSettings,
            mode=st.integers(-3, 4),
            rungs=st.lists(st.builds(pb.PruningRung, steps_share=st.floats(), kept_share=st.floats()), max_size=4),
        ),
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
    st.builds(pb.FaceSelector, index=st.integers(0, 2**32 - 1)),
    st.builds(
        pb.FaceSelector, box=st.builds(pb.Box, **dict.fromkeys(("left", "top", "right", "bottom"), st.floats(width=32)))
    ),
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
    scene_face=st.none() | st.integers(0, 2**32 - 1),
    character_face=st.none() | st.integers(0, 2**32 - 1),
    scene_face_by=st.none() | FIELDS[pb.FaceSelector],
    character_face_by=st.none() | FIELDS[pb.FaceSelector],
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
        assert 1 <= made.spec.total_candidates <= 4096
        assert sum(made.objective.weights.normalised.values()) == pytest.approx(1.0)
        return
    assert refused.violations
    assert all(violation.field and violation.description for violation in refused.violations)

"""The options of a search request, declared once for all commands that submit searches."""

from pathlib import Path
from typing import Any

from eacps.cli import options
from eacps.cli import search_options as search
from eacps.cli.face_options import FaceOptions
from eacps.cli.groups import Group
from eacps.cli.parsing import parse_numbers, parse_questions
from eacps.cli.request import SearchOptions

_SAMPLER = ("steps", "true_cfg_scale", "character_as_reference")
_SEARCH = (
    "strategy",
    "trajectories",
    "global_candidates",
    "parents",
    "children",
    "rounds",
    "local_move",
    "angle",
    "angle_decay",
    "seed_radius",
    "seed",
    "first_seed",
    "micro_batch",
)
_BUDGET = {
    "max_evaluations": "denoiser_evaluations",
    "max_pictures": "pictures",
    "max_vlm_calls": "vlm_calls",
    "target": "target_potential",
    "min_gain": "min_gain_per_trajectory",
}
"""Options of a command, and the fields of the request that they stand for."""


def _asked(  # a signature: every parameter is an option
    scene: options.SceneFile,
    character: options.CharacterFile,
    prompt: search.Prompt,
    mask: search.MaskOption = None,
    negative_prompt: search.NegativePrompt = None,
    scene_face: search.SceneFace = None,
    character_face: search.CharacterFace = None,
    more_character: search.MoreCharacters = [],  # noqa: B006 - typer makes a new list for every call
    reference: search.References = [],  # noqa: B006
    prior: search.Prior = None,
    framing: search.FramingOption = None,
    steps: search.Steps = None,
    true_cfg_scale: search.TrueCfgScale = None,
    character_as_reference: search.CharacterAsReference = None,
    strategy: search.StrategyOption = None,
    trajectories: search.Trajectories = None,
    global_candidates: search.GlobalCandidates = None,
    parents: search.Parents = None,
    children: search.Children = None,
    rounds: search.Rounds = None,
    local_move: search.LocalMoveOption = None,
    angle: search.Angle = None,
    angle_decay: search.AngleDecay = None,
    seed_radius: search.SeedRadius = None,
    seed: search.Seed = None,
    first_seed: search.FirstSeed = None,
    micro_batch: search.MicroBatch = None,
    weight: search.WeightsOption = [],  # noqa: B006
    floor: search.Floors = [],  # noqa: B006
    held_out: search.HeldOut = [],  # noqa: B006
    ask: search.Questions = [],  # noqa: B006
    scalarization: search.ScalarizationOption = None,
    max_evaluations: search.MaxEvaluations = None,
    max_pictures: search.MaxPictures = None,
    max_vlm_calls: search.MaxVlmCalls = None,
    max_seconds: search.MaxSeconds = None,
    target: search.TargetOption = None,
    min_gain: search.MinGain = None,
    like: search.Like = [],  # noqa: B006
) -> None: ...


def _options_of(given: dict[str, Any]) -> SearchOptions:
    scene, character, prompt = (given[name] for name in ("scene", "character", "prompt"))
    plain = ("mask", "negative_prompt", "framing", "max_seconds", "scalarization")
    return SearchOptions(
        Path(scene),
        Path(character),
        prompt,
        **{name: given[name] for name in plain},
        faces=FaceOptions(
            given["scene_face"], given["character_face"], given["more_character"], given["reference"], given["prior"]
        ),
        sampler={name: given[name] for name in _SAMPLER},
        search={name: given[name] for name in _SEARCH},
        budget={field: given[name] for name, field in _BUDGET.items()},
        weights=parse_numbers(given["weight"]),
        floors=parse_numbers(given["floor"]),
        held_out=given["held_out"],
        questions=parse_questions(given["ask"]),
        like=given["like"],
    )


REQUEST_OPTIONS = Group.of(_asked, _options_of)
"""The options of a search, as `SearchOptions`."""

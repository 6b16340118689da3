"""The options that say what to search for, once, for all commands that ask for a search."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eacps.cli import options
from eacps.cli.people import PeopleOptions
from eacps.cli.request import SearchOptions, parse_numbers, parse_questions

_SAMPLER = ("steps", "true_cfg_scale", "character_as_reference")
_SEARCH = {
    "strategy": "strategy",
    "trajectories": "trajectories",
    "global_candidates": "global_candidates",
    "parents": "parents",
    "children": "children_per_parent",
    "rounds": "local_rounds",
    "local_move": "local_move",
    "angle": "angle",
    "angle_decay": "angle_decay",
    "seed_radius": "seed_radius",
    "seed": "random_seed",
    "first_seed": "first_seed",
    "micro_batch": "micro_batch",
}
"""Options of a command, and the fields of the request that they stand for."""
_BUDGET = {
    "max_evaluations": "denoiser_evaluations",
    "max_pictures": "pictures",
    "max_vlm_calls": "vlm_calls",
    "target": "target_potential",
}


def _asked(  # a signature: every parameter is an option
    scene: options.Scene,
    character: options.Character,
    prompt: options.Prompt,
    mask: options.Mask = None,
    negative_prompt: options.NegativePrompt = None,
    scene_face: options.SceneFace = None,
    character_face: options.CharacterFace = None,
    more_character: options.MoreCharacters = [],  # noqa: B006 - typer makes a new list for every call
    reference: options.References = [],  # noqa: B006
    framing: options.FramingOption = None,
    steps: options.Steps = None,
    true_cfg_scale: options.TrueCfgScale = None,
    character_as_reference: options.CharacterAsReference = None,
    strategy: options.Strategy = None,
    trajectories: options.Trajectories = None,
    global_candidates: options.GlobalCandidates = None,
    parents: options.Parents = None,
    children: options.Children = None,
    rounds: options.Rounds = None,
    local_move: options.LocalMove = None,
    angle: options.Angle = None,
    angle_decay: options.AngleDecay = None,
    seed_radius: options.SeedRadius = None,
    seed: options.Seed = None,
    first_seed: options.FirstSeed = None,
    micro_batch: options.MicroBatch = None,
    pruning: options.PruningOption = None,
    weight: options.Weights = [],  # noqa: B006
    floor: options.Floors = [],  # noqa: B006
    held_out: options.HeldOut = [],  # noqa: B006
    ask: options.Questions = [],  # noqa: B006
    scalarisation: options.Scalarisation = None,
    max_evaluations: options.MaxEvaluations = None,
    max_pictures: options.MaxPictures = None,
    max_vlm_calls: options.MaxVlmCalls = None,
    max_seconds: options.MaxSeconds = None,
    target: options.Target = None,
) -> None: ...


def asks_for_a_search(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a search, after its own arguments.

    Args:
        command: Its first parameter, ``asked``, takes them as `SearchOptions`; the others are options of its own.
    """

    def run(**given: Any) -> None:
        asked = options_of({name: given.pop(name) for name in _PARAMETERS})
        command(asked, **given)

    _, *own = inspect.signature(command).parameters.values()
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [one.replace(kind=keyword) for one in (*_PARAMETERS.values(), *own)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def options_of(given: dict[str, Any]) -> SearchOptions:
    """Sort options by name into what they are about."""
    scene, character, prompt = (given[name] for name in ("scene", "character", "prompt"))
    plain = ("mask", "negative_prompt", "framing", "pruning", "max_seconds", "scalarisation")
    return SearchOptions(
        Path(scene),
        Path(character),
        prompt,
        **{name: given[name] for name in plain},
        people=PeopleOptions(given["scene_face"], given["character_face"], given["more_character"], given["reference"]),
        sampler={name: given[name] for name in _SAMPLER},
        search={field: given[name] for name, field in _SEARCH.items()},
        budget={field: given[name] for name, field in _BUDGET.items()},
        weights=parse_numbers(given["weight"]),
        floors=parse_numbers(given["floor"]),
        held_out=given["held_out"],
        questions=parse_questions(given["ask"]),
    )


_PARAMETERS = dict(inspect.signature(_asked).parameters)

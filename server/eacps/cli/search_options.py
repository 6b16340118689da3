"""The options of a search request, with their help texts."""

from functools import partial
from pathlib import Path
from typing import Annotated

from eacps.cli.declare import choice, number, option
from eacps.cli.face_options import parse_face, parse_prior
from eacps.cli.parsing import (
    checked,
    checked_list,
    parse_numbers,
    parse_questions,
    seconds,
    text,
    texts,
)
from eacps.enums import FRAMING, LOCAL_MOVE, SCALARIZATION, STRATEGY
from eacps.limits import DEFAULT_WEIGHTS, MAX_MORE_CHARACTERS
from eacps.tensors import MAX_CONDITIONING_PICTURES

SAMPLER_PANEL, SEARCH, POTENTIAL = "Sampler", "Search", "Potential"
BUDGET = "Budget: the search stops at the first that is spent"
_FACE = "N|LEFT,TOP,RIGHT,BOTTOM|FILE"
_WEIGHTS = ", ".join(f"{name}={weight:g}" for name, weight in DEFAULT_WEIGHTS.items())

Prompt = Annotated[str, option("What the edit should do.", metavar="TEXT", callback=text)]
NegativePrompt = Annotated[
    str | None,
    option("What the edit should avoid. It takes effect with --true-cfg-scale above 1.", metavar="TEXT", callback=text),
]
MaskOption = Annotated[
    Path | None,
    option(
        "Mask of the scene's size: what is white may change.",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        default="all may change",
    ),
]
SceneFace = Annotated[
    str | None,
    option(
        "Face to replace: its index as InsightFace counts, a box in pixels, or a picture of the person.",
        metavar=_FACE,
        callback=checked(parse_face),
        default="the largest",
    ),
]
CharacterFace = Annotated[
    str | None,
    option(
        "Face of the character to take; given as --scene-face is.",
        metavar=_FACE,
        callback=checked(parse_face),
        default="the largest",
    ),
]
MoreCharacters = Annotated[
    list[Path],
    option(
        f"Further picture of the same person, whose identity is averaged; repeatable, up to {MAX_MORE_CHARACTERS}.",
        "--more-character",
        metavar="FILE",
        exists=True,
        dir_okay=False,
    ),
]
References = Annotated[
    list[Path],
    option(
        "Further picture that the model sees after the prior and the character; repeatable, "
        f"{MAX_CONDITIONING_PICTURES} pictures in all.",
        "--reference",
        metavar="FILE",
        exists=True,
        dir_okay=False,
    ),
]
Prior = Annotated[
    str | None,
    option(
        "How the prior is made: by face swap; none, from the scene and the character's picture; or a picture of yours.",
        metavar="swap|none|FILE",
        callback=checked(parse_prior),
        default="swap, or none where the server has no face swapper",
    ),
]
FramingOption = Annotated[
    str | None,
    choice(FRAMING, "Part of the scene to work on: as much as fits, or the region of the face.", "--framing"),
]

Steps = Annotated[
    int | None, number("sampler.steps", "Denoising steps.", default="the checkpoint's", panel=SAMPLER_PANEL)
]
TrueCfgScale = Annotated[
    float | None,
    number("sampler.true_cfg_scale", "Scale of true classifier-free guidance; 1 is none.", panel=SAMPLER_PANEL),
]
CharacterAsReference = Annotated[
    bool | None,
    option(
        "Show the model the character's picture beside the prior, or the prior alone.",
        "--character-as-reference/--prior-alone",
        default="on",
        panel=SAMPLER_PANEL,
    ),
]

_search = partial(number, panel=SEARCH)
_search_choice = partial(choice, panel=SEARCH)

StrategyOption = Annotated[str | None, _search_choice(STRATEGY, "How the search chooses noise.")]
Trajectories = Annotated[
    int | None,
    _search("search.eacps_adaptive.trajectories", "Cost of eacps-adaptive or best-of-n, in whole trajectories."),
]
GlobalCandidates = Annotated[
    int | None,
    _search("search.eacps.global_candidates", "Random candidates in the first round of eacps."),
]
Parents = Annotated[int | None, _search("search.eacps.parents", "Parents in a local round of eacps.")]
Children = Annotated[int | None, _search("search.eacps.children_per_parent", "Children of each parent.")]
Rounds = Annotated[int | None, _search("search.eacps.local_rounds", "Local rounds of eacps.")]
LocalMoveOption = Annotated[str | None, _search_choice(LOCAL_MOVE, "How a child's noise is made from its parent's.")]
Angle = Annotated[float | None, _search("search.eacps.spherical.angle", "Angle of spherical moves, in radians.")]
AngleDecay = Annotated[
    float | None, _search("search.eacps.spherical.angle_decay", "Factor on the angle after each local round.")
]
SeedRadius = Annotated[int | None, _search("search.eacps.seed_offset.radius", "Largest offset of seed-offset moves.")]
Seed = Annotated[
    int | None,
    number(
        "search.random_seed",
        "Seed of the search. The same seed asks for the same noise.",
        default="drawn",
        panel=SEARCH,
    ),
]
FirstSeed = Annotated[
    int | None,
    _search("search.first_seed", "Noise seed of the first candidate.", default="the search's seed"),
]
MicroBatch = Annotated[int | None, _search("search.micro_batch", "Candidates that are sent to Triton together.")]

WeightsOption = Annotated[
    list[str],
    option(
        "Scorer and its weight; repeatable. The first replaces all of the default weights.",
        "--weight",
        metavar="SCORER=N",
        callback=checked_list(parse_numbers),
        default=f"the server's, by itself {_WEIGHTS}",
        panel=POTENTIAL,
    ),
]
Floors = Annotated[
    list[str],
    option(
        "Least score of a weighted scorer. Candidates below it rank last; repeatable.",
        "--floor",
        metavar="SCORER=X",
        callback=checked_list(parse_numbers),
        panel=POTENTIAL,
    ),
]
HeldOut = Annotated[
    list[str],
    option(
        "Scorer to report and never search; repeatable. The server's own are reported, too.",
        "--held-out",
        metavar="SCORER",
        callback=texts,
        panel=POTENTIAL,
    ),
]
Questions = Annotated[
    list[str],
    option(
        "Your own yes/no question about the result, to triton, openai, gemini or moondream. It is reported, and "
        "searched if --weight names it; repeatable.",
        "--ask",
        metavar="JUDGE.LABEL=QUESTION",
        callback=checked_list(parse_questions),
        panel=POTENTIAL,
    ),
]
ScalarizationOption = Annotated[
    str | None, choice(SCALARIZATION, "How the scores become one potential.", panel=POTENTIAL)
]

MaxEvaluations = Annotated[
    int | None, number("budget.denoiser_evaluations", "Most denoiser evaluations.", panel=BUDGET)
]
MaxPictures = Annotated[int | None, number("budget.pictures", "Most pictures that are made and scored.", panel=BUDGET)]
MaxVlmCalls = Annotated[int | None, number("budget.vlm_calls", "Most calls of vision-language models.", panel=BUDGET)]
MaxSeconds = Annotated[
    float | None,
    option("Most seconds. Unlike --timeout, the result so far is kept.", metavar="X", callback=seconds, panel=BUDGET),
]
Like = Annotated[
    list[str],
    option(
        "Candidate of an earlier search on the same server to begin from; repeatable.",
        "--like",
        metavar="SEARCH:CANDIDATE",
        callback=texts,
    ),
]
TargetOption = Annotated[
    float | None, number("budget.target_potential", "Potential that is good enough.", panel=BUDGET)
]
MinGain = Annotated[
    float | None,
    number(
        "budget.min_gain_per_trajectory",
        "End where a round is expected to gain less than this for each trajectory that it costs.",
        panel=BUDGET,
    ),
]

"""Options that commands share, with their help texts. Ranges that need knowledge of a request are the server's."""

from pathlib import Path
from typing import Annotated, Any

import typer

from eacps.cli.people import parse_face
from eacps.cli.request import (
    FramingName,
    LocalMoveName,
    PruningName,
    ScalarisationName,
    StateName,
    StrategyName,
    parse_numbers,
    parse_questions,
)

SEARCH, POTENTIAL, BUDGET = "Search", "Potential", "Budget: the search stops at the first that is spent"
_UINT32 = 2**32 - 1
_FACE = "N|LEFT,TOP,RIGHT,BOTTOM|FILE"


MAX_SECONDS = 30 * 24 * 3600  # a month; also keeps what is no number out


def _uint32(value: int | None) -> int | None:
    if value is not None and not 0 <= value <= _UINT32:
        raise typer.BadParameter(f"{value} is not in [0, {_UINT32}]")
    return value


def _numbers(texts: list[str]) -> list[str]:
    try:
        parse_numbers(texts)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from None
    return texts


def _questions(texts: list[str]) -> list[str]:
    try:
        parse_questions(texts)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from None
    return texts


def _count(text: str, panel: str | None = None) -> Any:
    return typer.Option(metavar="N", callback=_uint32, help=text, rich_help_panel=panel)


def _face(text: str | None) -> str | None:
    try:
        if text is not None:
            parse_face(text)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from None
    return text


def _seconds(seconds: float | None) -> float | None:
    if seconds is not None and not 0 < seconds <= MAX_SECONDS:
        raise typer.BadParameter(f"{seconds:g} is not above 0 and at most {MAX_SECONDS}")
    return seconds


def _number(text: str, panel: str | None = None) -> Any:
    return typer.Option(metavar="X", help=text, rich_help_panel=panel)


KeptServer = Annotated[
    str | None,
    typer.Option("--server", metavar="HOST:PORT", help="The search server. \\[$EACPS_SERVER, else 127.0.0.1:50051]"),
]
SearchId = Annotated[str, typer.Argument(metavar="SEARCH", help="Its id.")]
CandidateId = Annotated[str, typer.Argument(metavar="CANDIDATE", help="Its id within the search.")]
Artifact = Annotated[str, typer.Argument(metavar="HASH", help="SHA-256, as events and results name it.")]
PictureFile = Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="Where the picture goes.")]
Pictures = Annotated[
    list[Path], typer.Argument(metavar="PICTURES...", exists=True, dir_okay=False, help="What is to be scored.")
]
RequestId = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Asked again with it, the same request is the same search. \\[drawn]"),
]
Labels = Annotated[list[str], typer.Option("--label", metavar="KEY=VALUE", help="To find searches by; repeatable.")]
Priority = Annotated[int | None, typer.Option(min=1, max=1000, help="Smaller goes first. \\[100]")]
States = Annotated[list[StateName], typer.Option("--state", help="Only those in it; repeatable.")]
Most = Annotated[int, typer.Option("--most", min=1, max=100_000, help="At most so many.")]

Scene = Annotated[Path, typer.Argument(metavar="SCENE", exists=True, dir_okay=False, help="The picture to edit.")]
Character = Annotated[
    Path, typer.Argument(metavar="CHARACTER", exists=True, dir_okay=False, help="A picture of who shall appear in it.")
]

AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output; all else on standard error.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log what the search server does.")]
LogJson = Annotated[bool, typer.Option("--log-json", help="Log lines of JSON, each with the search it is about.")]
ModelRepository = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="For the embedded Triton. \\[$EACPS_MODEL_REPOSITORY, else .build/model_repository]"
    ),
]
Listen = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Where to serve. \\[$EACPS_ADDRESS, else 127.0.0.1:50051]")
]
LogFile = Annotated[Path, typer.Option(metavar="FILE", help="Where Triton's output goes.")]
Triton = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Its gRPC endpoint. \\[$EACPS_TRITON, else 127.0.0.1:8001]"),
]
Metrics = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Where to serve Prometheus metrics. \\[$EACPS_METRICS, else nowhere]"),
]
ApiKeys = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", dir_okay=False, help="Keys of who may call, as `eacps key` writes them. \\[$EACPS_API_KEYS]"
    ),
]
KeysFile = Annotated[Path, typer.Option("--api-keys", metavar="FILE", dir_okay=False, help="Where its digest goes.")]
Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="Whose: letters, digits, - and _.")]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Let anyone on this machine call, without keys or certificates.")
]
Data = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", file_okay=False, help="Where searches are kept. \\[$EACPS_DATA, else eacps-data]"),
]
Server = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="A running search server. \\[$EACPS_SERVER, else all is embedded]"),
]
TlsCa = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|system",
        help="Speak TLS to --server, trusting these roots. \\[$EACPS_SERVER_TLS_CA, else in the clear]",
    ),
]
TlsCertificate = Annotated[
    str | None, typer.Option(metavar="FILE", help="Of ours, for mutual TLS. \\[$EACPS_SERVER_TLS_CERTIFICATE]")
]
TlsKey = Annotated[str | None, typer.Option(metavar="FILE", help="To it. \\[$EACPS_SERVER_TLS_KEY]")]
Out = Annotated[Path, typer.Option(metavar="FOLDER", file_okay=False, help="Where the result goes; made if need be.")]
Timeout = Annotated[
    float | None, typer.Option(min=0.001, metavar="SECONDS", help="Give the search up after this long.")
]
Sample = Annotated[str, typer.Option(metavar="NAME", help="Which bundled task.")]
Samples = Annotated[Path, typer.Option(metavar="FOLDER", help="Where the bundled tasks are.")]

Mask = Annotated[
    Path | None,
    typer.Option(metavar="FILE", exists=True, dir_okay=False, help="White may change; of the scene's size."),
]
Prompt = Annotated[str, typer.Option(metavar="TEXT", help="What the edit shall do.")]
NegativePrompt = Annotated[
    str | None, typer.Option(metavar="TEXT", help="What it shall not do; needs --true-cfg-scale above 1.")
]
SceneFace = Annotated[
    str | None,
    typer.Option(metavar=_FACE, callback=_face, help="Face to replace: by size, from 0; by place; by person. \\[0]"),
]
CharacterFace = Annotated[str | None, typer.Option(metavar=_FACE, callback=_face, help="Face to take, likewise. \\[0]")]
MoreCharacters = Annotated[
    list[Path],
    typer.Option(
        "--more-character",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="A further picture of the same person, whose face is averaged; repeatable.",
    ),
]
References = Annotated[
    list[Path],
    typer.Option(
        "--reference",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="A further picture for the model to see, after the prior and CHARACTER; 3 in all. Repeatable.",
    ),
]
FramingOption = Annotated[
    FramingName | None,
    typer.Option(
        "--framing",
        help="What is worked on: the whole scene, or the face's region. \\[auto: the region where the face is small]",
    ),
]

Steps = Annotated[int | None, _count("Denoising steps. \\[the checkpoint's]", "Sampler")]
TrueCfgScale = Annotated[float | None, _number("Scale of true classifier-free guidance. \\[1: none]", "Sampler")]
CharacterAsReference = Annotated[
    bool | None,
    typer.Option(
        "--character-as-reference/--prior-alone",
        help="Whether the model sees the character's picture beside the prior. \\[it does]",
        rich_help_panel="Sampler",
    ),
]

Strategy = Annotated[
    StrategyName | None, typer.Option(help="How noise is chosen. \\[adaptive]", rich_help_panel=SEARCH)
]
Trajectories = Annotated[int | None, _count("What adaptive may cost, in whole trajectories. \\[32]", SEARCH)]
GlobalCandidates = Annotated[int | None, _count("Random candidates; N of best-of-n. \\[16]", SEARCH)]
Parents = Annotated[int | None, _count("Parents of a local round. \\[4]", SEARCH)]
Children = Annotated[int | None, _count("Children of each parent. \\[4]", SEARCH)]
Rounds = Annotated[int | None, _count("Local rounds. \\[1]", SEARCH)]
LocalMove = Annotated[
    LocalMoveName | None, typer.Option(help="How a child comes from its parent. \\[spherical]", rich_help_panel=SEARCH)
]
Angle = Annotated[float | None, _number("Of spherical moves, in radians. \\[0.6]", SEARCH)]
AngleDecay = Annotated[float | None, _number("Factor on the angle after each local round. \\[0.7]", SEARCH)]
SeedRadius = Annotated[int | None, _count("Of seed-offset moves. \\[1024]", SEARCH)]
Seed = Annotated[int | None, _count("Of the search; the same again asks for the same noise. \\[drawn]", SEARCH)]
FirstSeed = Annotated[int | None, _count("Noise seed of the first candidate. \\[the search's]", SEARCH)]
MicroBatch = Annotated[int | None, _count("Candidates sent to Triton together. \\[8]", SEARCH)]
Weights = Annotated[
    list[str],
    typer.Option(
        "--weight",
        metavar="SCORER=N",
        callback=_numbers,
        help="What counts, and how much; repeatable. \\[identity=0.5, realism=0.3, prompt=0.2]",
        rich_help_panel=POTENTIAL,
    ),
]
Floors = Annotated[
    list[str],
    typer.Option(
        "--floor",
        metavar="SCORER=X",
        callback=_numbers,
        help="Least calibrated score of a weighted scorer; below it a candidate ranks last. Repeatable.",
        rich_help_panel=POTENTIAL,
    ),
]
HeldOut = Annotated[
    list[str],
    typer.Option(
        "--held-out",
        metavar="SCORER",
        help="Reported and never searched; repeatable. \\[identity_heldout, where it is served]",
        rich_help_panel=POTENTIAL,
    ),
]
Questions = Annotated[
    list[str],
    typer.Option(
        "--ask",
        metavar="JUDGE.LABEL=QUESTION",
        callback=_questions,
        help="A yes/no question of your own about the result, to triton, openai, gemini or moondream; reported, and "
        "searched too where --weight names it. Repeatable.",
        rich_help_panel=POTENTIAL,
    ),
]
Scalarisation = Annotated[
    ScalarisationName | None,
    typer.Option(help="How scores become one potential. \\[weighted-sum]", rich_help_panel=POTENTIAL),
]
PruningOption = Annotated[
    PruningName | None,
    typer.Option("--pruning", help="Whether previews decide who is finished. \\[off]", rich_help_panel=SEARCH),
]
MaxEvaluations = Annotated[int | None, _count("Denoiser evaluations.", BUDGET)]
MaxPictures = Annotated[int | None, _count("Pictures made and scored, previews included.", BUDGET)]
MaxVlmCalls = Annotated[int | None, _count("Calls of vision-language models.", BUDGET)]
MaxSeconds = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        callback=_seconds,
        help="Wall-clock seconds; unlike --timeout, what was found is kept.",
        rich_help_panel=BUDGET,
    ),
]
Target = Annotated[float | None, _number("Potential that is good enough, in (0, 1].", BUDGET)]
Plot = Annotated[bool, typer.Option("--plot", help="Draw the course of the search as search.png too.")]

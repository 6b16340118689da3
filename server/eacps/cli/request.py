"""Options of a search to the request that says so; what an option leaves open is left to the server."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration

from eacps.cli.exit_codes import ExitCode
from eacps.cli.outcome import CommandFailed
from eacps.cli.people import PeopleOptions, people_fields, read_image
from eacps.v1 import search_service_pb2 as pb
from eacps.wire import images_in


class StrategyName(StrEnum):
    """How a search chooses noise."""

    ADAPTIVE = "adaptive"
    EACPS = "eacps"
    BEST_OF_N = "best-of-n"


class LocalMoveName(StrEnum):
    """How a child's noise comes from its parent's."""

    SPHERICAL = "spherical"
    SEED_OFFSET = "seed-offset"


class PruningName(StrEnum):
    """Whether previews decide who is finished."""

    AUTO = "auto"
    OFF = "off"


class ScalarisationName(StrEnum):
    """How scores become one potential."""

    WEIGHTED_SUM = "weighted-sum"
    GEOMETRIC_MEAN = "geometric-mean"
    RANK_SUM = "rank-sum"


class FramingName(StrEnum):
    """Which part of the scene is worked on."""

    AUTO = "auto"
    WHOLE = "whole"
    FACE = "face"


class StateName(StrEnum):
    """Where a search is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


DEFAULT_WEIGHTS = {"identity": 0.5, "realism": 0.3, "prompt": 0.2}
"""Those of a server that was set up with no others; sent along where floors or held-out scorers are asked for."""
_NOT_SAID = PeopleOptions()
_STRATEGIES = {
    StrategyName.ADAPTIVE: pb.STRATEGY_EACPS_ADAPTIVE,
    StrategyName.EACPS: pb.STRATEGY_EACPS,
    StrategyName.BEST_OF_N: pb.STRATEGY_BEST_OF_N,
}
_MOVES = {
    LocalMoveName.SPHERICAL: pb.LOCAL_MOVE_SPHERICAL,
    LocalMoveName.SEED_OFFSET: pb.LOCAL_MOVE_SEED_OFFSET,
}


_PRUNINGS = {PruningName.AUTO: pb.PRUNING_MODE_AUTO, PruningName.OFF: pb.PRUNING_MODE_OFF}
FRAMINGS = {
    FramingName.AUTO: pb.FRAMING_AUTO,
    FramingName.WHOLE: pb.FRAMING_WHOLE,
    FramingName.FACE: pb.FRAMING_FACE,
}
_SCALARISATIONS = {
    ScalarisationName.WEIGHTED_SUM: pb.SCALARISATION_WEIGHTED_SUM,
    ScalarisationName.GEOMETRIC_MEAN: pb.SCALARISATION_GEOMETRIC_MEAN,
    ScalarisationName.RANK_SUM: pb.SCALARISATION_RANK_SUM,
}


@dataclass(frozen=True)
class SearchOptions:
    """What was asked for on the command line; None leaves a setting to the server. Fields as in the request."""

    scene: Path
    character: Path
    prompt: str
    mask: Path | None = None
    negative_prompt: str | None = None
    people: PeopleOptions = field(default_factory=PeopleOptions)
    sampler: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)
    pruning: PruningName | None = None
    budget: Mapping[str, Any] = field(default_factory=dict)
    max_seconds: float | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    floors: Mapping[str, float] = field(default_factory=dict)
    held_out: Sequence[str] = ()
    questions: Mapping[str, str] = field(default_factory=dict)
    scalarisation: ScalarisationName | None = None
    framing: FramingName | None = None


def build_request(options: SearchOptions) -> pb.RunSearchRequest:
    """Read the pictures and put the request together.

    Raises:
        CommandFailed: A picture cannot be read, or it is not said which face is meant.
    """
    search = {name: value for name, value in options.search.items() if value is not None}
    if search.get("strategy") is StrategyName.BEST_OF_N and "trajectories" in search:
        search.setdefault("global_candidates", search.pop("trajectories"))
    if "strategy" in search:
        search["strategy"] = _STRATEGIES[search["strategy"]]
    if "local_move" in search:
        search["local_move"] = _MOVES[search["local_move"]]
    if options.pruning is not None:
        search["pruning"] = pb.PruningSettings(mode=_PRUNINGS[options.pruning])
    return pb.RunSearchRequest(
        scene=read_image(options.scene),
        character=read_image(options.character),
        mask=None if options.mask is None else read_image(options.mask),
        prompt=options.prompt,
        negative_prompt=options.negative_prompt,
        sampler=pb.SamplerSettings(**{name: value for name, value in options.sampler.items() if value is not None}),
        search=pb.SearchSettings(**search),
        scorers=list(_scorers(options)),
        scalarisation=None if options.scalarisation is None else _SCALARISATIONS[options.scalarisation],
        budget=_budget(options),
        **people_fields(options.people),
        framing=None if options.framing is None else FRAMINGS[options.framing],
    )


def _scorers(options: SearchOptions) -> Iterator[pb.ScorerSettings]:
    weights = dict(options.weights)
    if not weights and (options.floors or options.held_out or options.questions):
        weights = DEFAULT_WEIGHTS
    questions = options.questions
    counted = dict.fromkeys((*weights, *options.floors))
    for name in counted:
        weight, floor = weights.get(name, 0.0), options.floors.get(name)
        yield pb.ScorerSettings(name=name, weight=weight, floor=floor, question=questions.get(name))
    for name in (*options.held_out, *(name for name in questions if name not in {*counted, *options.held_out})):
        yield pb.ScorerSettings(name=name, held_out=True, question=questions.get(name))


def _budget(options: SearchOptions) -> pb.Budget | None:
    bounds = {name: value for name, value in options.budget.items() if value is not None}
    if options.max_seconds is not None:
        bounds["wall_time"] = Duration(nanos=0)
        bounds["wall_time"].FromNanoseconds(round(options.max_seconds * 1e9))
    return pb.Budget(**bounds) if bounds else None


def score_request(
    scene: Path,
    character: Path,
    pictures: Sequence[Path],
    prompt: str,
    *,
    weights: Mapping[str, float],
    questions: Mapping[str, str],
    people: PeopleOptions = _NOT_SAID,
    framing: FramingName | None = None,
) -> pb.ScoreImagesRequest:
    """Read the pictures and put a request for scores together.

    Raises:
        CommandFailed: A picture cannot be read, or it is not said which face is meant.
    """
    options = SearchOptions(scene, character, prompt, weights=weights, questions=questions)
    return pb.ScoreImagesRequest(
        scene=read_image(scene),
        character=read_image(character),
        prompt=prompt,
        images=[read_image(picture) for picture in pictures],
        scorers=list(_scorers(options)),
        **people_fields(people),
        framing=None if framing is None else FRAMINGS[framing],
    )


def parse_labels(texts: Sequence[str]) -> dict[str, str]:
    """Read ``KEY=VALUE`` pairs.

    Raises:
        CommandFailed: One is malformed.
    """
    pairs = [text.partition("=") for text in texts]
    for text, (key, equals, _) in zip(texts, pairs, strict=True):
        if not key or not equals:
            raise CommandFailed(f"{text!r} is not of the form KEY=VALUE", ExitCode.REQUEST, code="LABEL")
    return {key: value for key, _, value in pairs}


def parse_numbers(texts: list[str]) -> dict[str, float]:
    """Read ``NAME=NUMBER`` pairs.

    Raises:
        ValueError: One is malformed, or a name comes twice.
    """
    numbers: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        if not name or not equals:
            raise ValueError(f"{text!r} is not of the form NAME=NUMBER")
        if name in numbers:
            raise ValueError(f"{name!r} is given twice")
        try:
            numbers[name] = float(number)
        except ValueError:
            raise ValueError(f"{number!r} is not a number") from None
    return numbers


def parse_questions(texts: Sequence[str]) -> dict[str, str]:
    """Read ``NAME=QUESTION`` pairs; the question may well hold further equals signs.

    Raises:
        ValueError: One is malformed, or a name comes twice.
    """
    questions: dict[str, str] = {}
    for text in texts:
        name, equals, question = text.partition("=")
        if not name or not equals:
            raise ValueError(f"{text!r} is not of the form NAME=QUESTION")
        if name in questions:
            raise ValueError(f"{name!r} is given twice")
        questions[name] = question
    return questions


def describe_pictures(request: pb.RunSearchRequest) -> dict[str, Any]:
    """Names the pictures of a request by content: SHA-256 and bytes of the encoded files. Never the pictures."""
    files = {name: image.data for name, image in images_in(request)}
    return {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()}

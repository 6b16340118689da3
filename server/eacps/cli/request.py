"""Converts the options of a search to its request. What no option gives is left to the server."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration

from eacps.cli.exit_codes import ExitCode
from eacps.cli.face_options import FaceOptions, face_fields, read_image
from eacps.cli.outcome import CommandFailed
from eacps.cli.parsing import number_of
from eacps.cli.strategies import search_settings
from eacps.enums import FRAMING, SCALARIZATION, Words
from eacps.v1 import search_service_pb2 as pb
from eacps.wire import images_in

_FROM_ENVIRONMENT = FaceOptions()


@dataclass(frozen=True)
class SearchOptions:
    """What the command line asks for; None leaves a setting to the server.

    Fields are named as in the request, those of ``search`` as the options of the command line.
    """

    scene: Path
    character: Path
    prompt: str
    mask: Path | None = None
    negative_prompt: str | None = None
    faces: FaceOptions = field(default_factory=FaceOptions)
    sampler: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)
    budget: Mapping[str, Any] = field(default_factory=dict)
    max_seconds: float | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    floors: Mapping[str, float] = field(default_factory=dict)
    held_out: Sequence[str] = ()
    questions: Mapping[str, str] = field(default_factory=dict)
    scalarization: str | None = None
    framing: str | None = None
    like: Sequence[str] = ()


def build_request(options: SearchOptions) -> pb.RunSearchRequest:
    """Read the pictures and build the request.

    Raises:
        CommandFailed: A picture cannot be read, a face is not selected, or options contradict each other.
    """
    return pb.RunSearchRequest(
        scene=read_image(options.scene),
        character=read_image(options.character),
        mask=None if options.mask is None else read_image(options.mask),
        prompt=options.prompt,
        negative_prompt=options.negative_prompt,
        sampler=pb.SamplerSettings(**_given(options.sampler)),
        search=_search(options),
        scorers=list(_scorers(options)),
        scalarization=_number(SCALARIZATION, options.scalarization),
        budget=_budget(options),
        **face_fields(options.faces),
        framing=_number(FRAMING, options.framing),
    )


def _search(options: SearchOptions) -> pb.SearchSettings:
    search = search_settings(options.search)
    search.start.extend(_start(text) for text in options.like)
    return search


def _start(text: str) -> pb.StartPoint:
    search_id, colon, candidate = text.partition(":")
    if not (search_id and colon and candidate):
        raise CommandFailed(f"--like {text!r} is not of the form SEARCH:CANDIDATE", ExitCode.REQUEST, code="LIKE")
    return pb.StartPoint(candidate=pb.CandidateReference(search_id=search_id, candidate_id=candidate))


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _number(words: Words, word: str | None) -> Any:
    return None if word is None else number_of(words, word)


def _scorers(options: SearchOptions) -> Iterator[pb.ScorerSettings]:
    """Name what the command line names. Without a weight the server's default weights apply."""
    questions, floors = options.questions, options.floors
    counted = dict.fromkeys((*options.weights, *floors))
    for name in counted:
        yield pb.ScorerSettings(
            name=name, weight=options.weights.get(name), floor=floors.get(name), question=questions.get(name)
        )
    for name in dict.fromkeys((*options.held_out, *(name for name in questions if name not in counted))):
        yield pb.ScorerSettings(name=name, held_out=True, question=questions.get(name))


def _budget(options: SearchOptions) -> pb.Budget | None:
    bounds = _given(options.budget)
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
    faces: FaceOptions = _FROM_ENVIRONMENT,
    framing: str | None = None,
) -> pb.ScoreImagesRequest:
    """Read the pictures and build a request for scores.

    Raises:
        CommandFailed: A picture cannot be read, or it is ambiguous which face is meant.
    """
    options = SearchOptions(scene, character, prompt, weights=weights, questions=questions)
    return pb.ScoreImagesRequest(
        scene=read_image(scene),
        character=read_image(character),
        prompt=prompt,
        images=[read_image(picture) for picture in pictures],
        scorers=list(_scorers(options)),
        **face_fields(faces),
        framing=_number(FRAMING, framing),
    )


def describe_pictures(request: pb.RunSearchRequest) -> dict[str, Any]:
    """Return SHA-256 and size of a request's pictures, by field. Never the pictures themselves."""
    files = {name: image.data for name, image in images_in(request)}
    return {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()}

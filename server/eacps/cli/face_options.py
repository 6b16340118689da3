"""Converts options about faces and further pictures to fields of a request."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eacps.cli.exit_codes import ExitCode
from eacps.cli.files import read_file
from eacps.cli.outcome import CommandFailed
from eacps.limits import INT32_MAX
from eacps.v1 import search_service_pb2 as pb


@dataclass(frozen=True)
class FaceOptions:
    """Who is meant, and what else the model sees.

    Args:
        scene_face: Which face of the scene, as `parse_face` reads it; None for the largest.
        character_face: Which face of the character picture, likewise.
        more_characters: Further pictures of the person.
        references: Further pictures for the model.
        prior: How the prior is made, as `parse_prior` reads it; None for the server's default.
    """

    scene_face: str | None = None
    character_face: str | None = None
    more_characters: Sequence[Path] = ()
    references: Sequence[Path] = ()
    prior: str | None = None


def parse_face(text: str) -> int | pb.Box | Path:
    """Read which face is meant: a number, a box as ``LEFT,TOP,RIGHT,BOTTOM``, or a picture of the person.

    Raises:
        ValueError: It is none of these.
    """
    if text.isdecimal() and int(text) <= INT32_MAX:
        return int(text)
    if (path := Path(text)).is_file():
        return path
    edges = text.split(",")
    try:
        numbers = [float(edge) for edge in edges]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"{text!r} is not a number, a box LEFT,TOP,RIGHT,BOTTOM in pixels, or a file")
    return pb.Box(left=numbers[0], top=numbers[1], right=numbers[2], bottom=numbers[3])


def parse_prior(text: str) -> str | Path:
    """Read how the prior is made: ``swap``, ``none``, or a picture.

    Raises:
        ValueError: It is none of these.
    """
    if text in ("swap", "none"):
        return text
    if (path := Path(text)).is_file():
        return path
    raise ValueError(f"{text!r} is not swap, none or a file")


def face_fields(options: FaceOptions) -> Mapping[str, Any]:
    """Read the pictures and return the fields of a request.

    ``references`` is there only if there are any, since not all requests have the field.

    Raises:
        CommandFailed: A picture cannot be read, or it is ambiguous which face is meant.
    """
    fields: dict[str, Any] = {"more_characters": [read_image(path) for path in options.more_characters]}
    if options.references:
        fields["references"] = [read_image(path) for path in options.references]
    if options.prior is not None:
        fields["prior"] = _prior(options.prior)
    for name, text in (("scene_face", options.scene_face), ("character_face", options.character_face)):
        if text is not None:
            fields[name] = _face(name, text)
    return fields


def read_image(path: Path) -> pb.Image:
    """Read a picture.

    Raises:
        CommandFailed: It cannot be read.
    """
    return pb.Image(data=read_file(path))


def _prior(text: str) -> pb.PriorSettings:
    try:
        made = parse_prior(text)
    except ValueError as exc:
        raise CommandFailed(f"prior: {exc}", ExitCode.REQUEST, code="PRIOR") from exc
    if isinstance(made, Path):
        return pb.PriorSettings(given=read_image(made))
    return pb.PriorSettings(swap=pb.FaceSwap()) if made == "swap" else pb.PriorSettings(none=pb.NoPrior())


def _face(name: str, text: str) -> pb.FaceSelector:
    try:
        meant = parse_face(text)
    except ValueError as exc:
        raise CommandFailed(f"{name}: {exc}", ExitCode.REQUEST, code="FACE") from exc
    match meant:
        case int():
            return pb.FaceSelector(index=meant)
        case pb.Box():
            return pb.FaceSelector(box=meant)
        case Path():
            return pb.FaceSelector(likeness=read_image(meant))

"""What the command line says of faces and further pictures, to fields of a request."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eacps.cli.exit_codes import ExitCode
from eacps.cli.outcome import CommandFailed
from eacps.v1 import search_service_pb2 as pb

_UINT32 = 2**32 - 1


@dataclass(frozen=True)
class PeopleOptions:
    """Who is meant, and what else the model shall see.

    Args:
        scene_face: Which face of the scene, as `parse_face` reads it; None for the largest.
        character_face: Which face of the character picture, likewise.
        more_characters: Further pictures of the person.
        references: Further pictures for the model.
    """

    scene_face: str | None = None
    character_face: str | None = None
    more_characters: Sequence[Path] = ()
    references: Sequence[Path] = ()


def parse_face(text: str) -> int | pb.Box | Path:
    """Read which face is meant: a number, a box as ``LEFT,TOP,RIGHT,BOTTOM``, or a picture of the person.

    Raises:
        ValueError: It is none of these.
    """
    if text.isdecimal() and int(text) <= _UINT32:
        return int(text)
    if (path := Path(text)).is_file():
        return path
    edges = text.split(",")
    try:
        numbers = [float(edge) for edge in edges]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"{text!r} is no number, no box LEFT,TOP,RIGHT,BOTTOM in pixels, and no file")
    return pb.Box(left=numbers[0], top=numbers[1], right=numbers[2], bottom=numbers[3])


def people_fields(options: PeopleOptions) -> Mapping[str, Any]:
    """Give the fields of a request; pictures are read. References only where there are any: not all requests take them.

    Raises:
        CommandFailed: A picture cannot be read, or it is not said which face is meant.
    """
    fields: dict[str, Any] = {"more_characters": [read_image(path) for path in options.more_characters]}
    if options.references:
        fields["references"] = [read_image(path) for path in options.references]
    for name, text in (("scene_face", options.scene_face), ("character_face", options.character_face)):
        if text is not None:
            fields |= _face(name, text)
    return fields


def read_image(path: Path) -> pb.Image:
    """Read a picture.

    Raises:
        CommandFailed: It cannot be read.
    """
    try:
        return pb.Image(data=path.read_bytes())
    except OSError as exc:
        raise CommandFailed(f"cannot read {path}: {exc.strerror}", ExitCode.REQUEST, code="UNREADABLE_FILE") from exc


def _face(name: str, text: str) -> dict[str, Any]:
    try:
        meant = parse_face(text)
    except ValueError as exc:
        raise CommandFailed(f"{name}: {exc}", ExitCode.REQUEST, code="FACE") from exc
    match meant:
        case int():
            return {name: meant}
        case pb.Box():
            return {f"{name}_by": pb.FaceSelector(box=meant)}
        case Path():
            return {f"{name}_by": pb.FaceSelector(likeness=read_image(meant))}

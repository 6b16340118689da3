"""Whose face is meant, and what else the model sees: choices of faces and further pictures, checked and read."""

import math
from collections.abc import Mapping, Sequence
from typing import TypedDict

from eacps.api.request_pictures import PictureReader
from eacps.api.violations import Violations
from eacps.arrays import Picture
from eacps.errors import InvalidPicture
from eacps.limits import MAX_MORE_CHARACTERS, MAX_REFERENCES
from eacps.scene.choice import ByBox, ByIndex, ByLikeness, FaceChoice, Largest
from eacps.tensors import MAX_CONDITIONING_PICTURES
from eacps.v1 import search_service_pb2 as pb


class RequestFaces(TypedDict):
    """The fields of `SearchPictures` that say who is meant, and what else is shown."""

    scene_face: FaceChoice
    character_face: FaceChoice
    more_characters: tuple[Picture, ...]
    references: tuple[Picture, ...]


def request_faces_of(
    violations: Violations, request: pb.RunSearchRequest, reader: PictureReader, *, character_shown: bool
) -> RequestFaces:
    """Check these fields of a request.

    Args:
        violations: Collects what is wrong with them.
        request: As it came.
        reader: Of its pictures.
        character_shown: Whether the model sees the character picture, which takes one of its picture slots.
    """
    scene_face, character_face = (_face(violations, request, name, reader) for name in ("scene_face", "character_face"))
    more = request.more_characters
    if len(more) > MAX_MORE_CHARACTERS:
        violations.add("more_characters", f"are {len(more)}; at most {MAX_MORE_CHARACTERS} are accepted")
    return {
        "scene_face": scene_face,
        "character_face": character_face,
        "more_characters": _pictures(violations, _listed("more_characters", more[:MAX_MORE_CHARACTERS]), reader),
        "references": _references(violations, request.references, reader, character_shown=character_shown),
    }


def _references(
    violations: Violations, references: Sequence[pb.Image], reader: PictureReader, *, character_shown: bool
) -> tuple[Picture, ...]:
    room = MAX_REFERENCES - (1 if character_shown else 0)
    if len(references) > room:
        before = "the prior and the character picture" if character_shown else "the prior"
        most = f"the model sees at most {MAX_CONDITIONING_PICTURES} pictures, {before} among them"
        violations.add("references", f"are {len(references)}; {most}")
    return _pictures(violations, _listed("references", references[:room]), reader)


def _face(violations: Violations, request: pb.RunSearchRequest, name: str, reader: PictureReader) -> FaceChoice:
    """Return which face is selected; the largest if that is invalid."""
    if not request.HasField(name):
        return Largest()
    selector: pb.FaceSelector = getattr(request, name)
    choice: FaceChoice | None = None
    match selector.WhichOneof("by"):
        case "index":
            index = violations.given_integer(selector, f"{name}.index")
            choice = None if index is None else ByIndex(index)
        case "box":
            choice = _box(violations, f"{name}.box", selector.box)
        case "likeness":
            pictures = _pictures(violations, {f"{name}.likeness": selector.likeness}, reader)
            choice = ByLikeness(pictures[0]) if pictures else None
        case None:
            violations.add(name, "sets neither index nor box nor likeness")
    return choice or Largest()


def _box(violations: Violations, path: str, box: pb.Box) -> ByBox | None:
    edges = (box.left, box.top, box.right, box.bottom)
    if not all(math.isfinite(edge) for edge in edges):
        violations.add(path, "is not finite")
    elif not (box.left < box.right and box.top < box.bottom):
        violations.add(path, f"from {box.left:g},{box.top:g} to {box.right:g},{box.bottom:g} is empty")
    else:
        return ByBox(edges)
    return None


def _listed(name: str, images: Sequence[pb.Image]) -> dict[str, pb.Image]:
    """Pictures of a repeated field by their paths."""
    return {f"{name}[{index}]": image for index, image in enumerate(images)}


def _pictures(violations: Violations, images: Mapping[str, pb.Image], reader: PictureReader) -> tuple[Picture, ...]:
    """Read pictures, given by their paths; those that cannot be read are left out and named."""
    pictures = []
    for path, image in images.items():
        try:
            pictures.append(reader.picture(path, image))
        except InvalidPicture as exc:
            violations.add_picture(path, exc)
    return tuple(pictures)

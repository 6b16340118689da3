"""Who is meant, and what else the model shall see: choices of faces and further pictures, checked and decoded."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

from eacps.api.faults import Faults
from eacps.errors import InvalidPicture
from eacps.evaluation.faces import ByBox, ByLikeness, FaceChoice
from eacps.imaging import Picture
from eacps.tensors import MAX_CONDITIONING_PICTURES, MAX_FACES
from eacps.v1 import search_service_pb2 as pb

MAX_MORE_CHARACTERS = 7
Decode = Callable[[pb.Image], Picture]
"""Gives a picture of a request, or raises `InvalidPicture`."""


class People(TypedDict):
    """The fields of a plan that say who is meant, and what else is shown."""

    scene_face: int
    character_face: int
    scene_face_by: FaceChoice | None
    character_face_by: FaceChoice | None
    more_characters: tuple[Picture, ...]
    references: tuple[Picture, ...]


def people_of(faults: Faults, request: pb.RunSearchRequest, decode: Decode, *, character_shown: bool) -> People:
    """Check these fields of a request.

    Args:
        faults: Grow.
        request: As it came.
        decode: Of its pictures.
        character_shown: Whether the model sees the character picture, which takes one of its places.
    """
    scene_face, scene_face_by = _face(faults, request, "scene_face", decode)
    character_face, character_face_by = _face(faults, request, "character_face", decode)
    more = request.more_characters
    if len(more) > MAX_MORE_CHARACTERS:
        faults.add("more_characters", f"are {len(more)}; at most {MAX_MORE_CHARACTERS} are accepted")
    return {
        "scene_face": scene_face,
        "character_face": character_face,
        "scene_face_by": scene_face_by,
        "character_face_by": character_face_by,
        "more_characters": _pictures(faults, _listed("more_characters", more[:MAX_MORE_CHARACTERS]), decode),
        "references": _references(faults, request.references, decode, character_shown=character_shown),
    }


def _references(
    faults: Faults, references: Sequence[pb.Image], decode: Decode, *, character_shown: bool
) -> tuple[Picture, ...]:
    room = MAX_CONDITIONING_PICTURES - (2 if character_shown else 1)
    if len(references) > room:
        before = "the prior and the character picture" if character_shown else "the prior"
        most = f"the model sees at most {MAX_CONDITIONING_PICTURES} pictures, {before} among them"
        faults.add("references", f"are {len(references)}; {most}")
    return _pictures(faults, _listed("references", references[:room]), decode)


def _face(faults: Faults, request: pb.RunSearchRequest, name: str, decode: Decode) -> tuple[int, FaceChoice | None]:
    """Give the number of a face, -1 for the largest, and how it is chosen where not by number."""
    number, path = faults.count(request, name, 0, MAX_FACES - 1, default=-1), f"{name}_by"
    if not request.HasField(path):
        return number, None
    if request.HasField(name):
        faults.add(path, f"is given beside {name}")
    selector: pb.FaceSelector = getattr(request, path)
    match selector.WhichOneof("by"):
        case "index":
            return faults.count(selector, f"{path}.index", 0, MAX_FACES - 1, default=-1), None
        case "box":
            return -1, _box(faults, f"{path}.box", selector.box)
        case "likeness":
            pictures = _pictures(faults, {f"{path}.likeness": selector.likeness}, decode)
            return -1, ByLikeness(pictures[0]) if pictures else None
        case None:
            faults.add(path, "says neither index nor box nor likeness")
    return -1, None


def _box(faults: Faults, path: str, box: pb.Box) -> ByBox | None:
    edges = (box.left, box.top, box.right, box.bottom)
    if not all(math.isfinite(edge) for edge in edges):
        faults.add(path, "is not finite")
    elif not (box.left < box.right and box.top < box.bottom):
        faults.add(path, f"from {box.left:g},{box.top:g} to {box.right:g},{box.bottom:g} is empty")
    else:
        return ByBox(edges)
    return None


def _listed(name: str, images: Sequence[pb.Image]) -> dict[str, pb.Image]:
    """Pictures of a repeated field by their paths."""
    return {f"{name}[{place}]": image for place, image in enumerate(images)}


def _pictures(faults: Faults, images: Mapping[str, pb.Image], decode: Decode) -> tuple[Picture, ...]:
    """Decode pictures, given by their paths; those that are none are left out and named."""
    pictures = []
    for path, image in images.items():
        try:
            pictures.append(decode(image))
        except InvalidPicture as exc:
            faults.add(f"{path}.data", str(exc))
    return tuple(pictures)

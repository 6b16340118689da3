"""The identity prior of an edit: which faces are meant, whose identity it is, and the swap.

Faces that are chosen by number are left to the model that swaps them, in one call. What takes a look at faces first, a
box, a likeness or further pictures, is decided here, from what the models find.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from eacps.evaluation.calls import Calls
from eacps.evaluation.edit import Edit, Inputs
from eacps.evaluation.faces import ByBox, ByLikeness, FaceChoice, FoundFaces
from eacps.evaluation.plan import SearchPlan
from eacps.evaluation.ports import Models
from eacps.evaluation.steps import Json
from eacps.imaging import Picture
from eacps.scoring.identity import mean_identity
from eacps.triton.types import Float32, Prior


@dataclass(frozen=True)
class ChosenFaces:
    """Which faces are meant, by number: from 0, largest first; -1 is the largest.

    Args:
        scene: Of the scene.
        character: Of the character picture.
        more: Of the further pictures, in their order.
    """

    scene: int
    character: int
    more: tuple[int, ...] = ()

    def to_json(self) -> Json:
        """JSON form."""
        return {"scene": self.scene, "character": self.character, "more": list(self.more)}

    @classmethod
    def from_json(cls, fields: Json) -> "ChosenFaces":
        """Restore what `to_json` gave."""
        return cls(fields["scene"], fields["character"], tuple(fields["more"]))


def prior_inputs(fingerprint: str, plan: SearchPlan, inputs: Inputs, digests: Mapping[str, str]) -> Json:
    """Give what determines a prior, JSON-able.

    Args:
        fingerprint: Of the checkpoint.
        plan: Of the search.
        inputs: The plan's, fitted.
        digests: Artifacts of ``inputs.named``.
    """
    known: Json = {
        "checkpoint": fingerprint,
        "scene": digests["scene"],
        "character": digests["character"],
        "scene_face": plan.scene_face,
        "character_face": plan.character_face,
    }
    # Said only where it is asked for: the steps of searches without are named as before there was any of it.
    for name, choice in (("scene_face_by", inputs.scene_face_by), ("character_face_by", inputs.character_face_by)):
        if isinstance(choice, ByBox):
            known[name] = {"box": list(choice.box)}
        elif isinstance(choice, ByLikeness):
            known[name] = {"likeness": digests[name]}
    if inputs.more_characters:
        known["more_characters"] = [digests[name] for name in inputs.more_characters]
    return known


def faces_scored(edit: Edit) -> Json:
    """Give what scores depend on beside the rest, JSON-able: faces that were not chosen by number alone."""
    more = [[edit.digests[name], face] for name, face in zip(edit.inputs.more_characters, edit.more_faces, strict=True)]
    known: Json = {"more_characters": more} if more else {}
    by_number = edit.inputs.scene_face_by is None and edit.scene_faces is None
    return known if by_number else {**known, "scene_box": list(edit.scene_box)}


@dataclass(frozen=True, eq=False)
class _Person:
    """Who is put into the scene: faces of all pictures, and the identity that several show; None is the one face's."""

    face: int
    more: tuple[int, ...] = ()
    identity: Float32 | None = None


class PriorMaker:
    """Makes priors.

    Args:
        models: Find and swap faces.
        calls: Makes the calls.
        cap_s: Most seconds for each.
    """

    def __init__(self, models: Models, calls: Calls, *, cap_s: float) -> None:
        self._models, self._calls, self._cap_s = models, calls, cap_s

    async def make(self, inputs: Inputs, numbers: ChosenFaces) -> tuple[Prior, ChosenFaces]:
        """Put the character into the scene.

        Args:
            inputs: The edit's, fitted.
            numbers: Faces of scene and character, for where the inputs do not choose otherwise.

        Returns:
            The prior, and the faces that were chosen.

        Raises:
            NoFaceFound: A picture shows no face, or not the one that is meant.
        """
        scene_face = numbers.scene
        if inputs.scene_face_by is not None:
            faces = await self.find("scene", inputs.scene)
            scene_face = await self.chosen(faces, inputs.scene_face_by, "scene_face_by")
        person = await self._person(inputs, numbers.character)

        async def swap(timeout_s: float) -> Prior:
            return await self._models.prepare_prior(
                inputs.scene,
                inputs.character,
                scene_face=scene_face,
                character_face=person.face,
                source=person.identity,
                timeout_s=timeout_s,
            )

        prior = await self._calls.patiently(swap, cap_s=self._cap_s)
        return prior, ChosenFaces(scene_face, person.face, person.more)

    async def find(self, name: str, picture: Picture) -> FoundFaces:
        """Find and embed the faces of a picture, ``uint8 [H, W, 3]``; ``name`` is its field in the request."""

        async def call(timeout_s: float) -> FoundFaces:
            return FoundFaces.of(name, await self._models.embed_faces(picture[None], timeout_s=timeout_s))

        return await self._calls.patiently(call, cap_s=self._cap_s)

    async def chosen(self, faces: FoundFaces, choice: FaceChoice, name: str) -> int:
        """Give the number of the face that is meant; ``name`` is the choice's field in the request.

        Raises:
            NoFaceFound: It is not among them.
        """
        if isinstance(choice, ByBox):
            return faces.by_box(choice.box)
        shown = await self.find(f"{name}.likeness", choice.picture)
        return faces.by_likeness(shown.embedding(0))

    async def _person(self, inputs: Inputs, number: int) -> _Person:
        if inputs.character_face_by is None and not inputs.more_characters:
            return _Person(number)
        faces = await self.find("character", inputs.character)
        if inputs.character_face_by is not None:
            number = await self.chosen(faces, inputs.character_face_by, "character_face_by")
        if not inputs.more_characters:
            return _Person(number)
        embeddings, more = [faces.embedding(number)], []
        for name, picture in inputs.more_characters.items():
            found = await self.find(name, picture)
            more.append(found.by_likeness(embeddings[0]))
            embeddings.append(found.embedding(more[-1]))
        return _Person(number, tuple(more), mean_identity(embeddings))

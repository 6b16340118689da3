"""Where in its scene a search works, and its pictures back in the scene: what is done about any size and aspect ratio.

A scene that is the working picture already is left alone, and so are the inputs of all recorded steps.
"""

import asyncio
from dataclasses import dataclass

from eacps.errors import NoFaceFound
from eacps.evaluation.artifacts import get_picture, put_picture
from eacps.evaluation.edit import Edit, Inputs, fitted_choice
from eacps.evaluation.faces import ByBox, FoundFaces
from eacps.evaluation.pictures import hash_of
from eacps.evaluation.plan import SearchPlan
from eacps.evaluation.ports import Laboratory
from eacps.evaluation.priors import PriorMaker
from eacps.evaluation.sight import find_in_scene, look_closely, same_face
from eacps.evaluation.steps import Json
from eacps.evaluation.updates import Box
from eacps.imaging import Frame, Framing, Picture, choose_frame, mask_of, needs_face, paste_back
from eacps.imaging.pasting import METHOD
from eacps.triton.types import ServedCheckpoint

_LOOK = "look@1"
"""Names how faces are looked for in scenes as they came (`eacps.evaluation.sight`)."""


@dataclass(frozen=True)
class Place:
    """Where a search works.

    Args:
        frame: In the scene as it came.
        faces: All that were found there, largest first, in its pixels; None where nobody had to look.
        number: Of the one to be replaced among them; None where nobody looked, or none was found.
        face: Its box, looked at closely.
    """

    frame: Frame
    faces: tuple[Box, ...] | None = None
    number: int | None = None
    face: Box | None = None

    def faces_in_frame(self, replaced: Box) -> tuple[Box, ...] | None:
        """Give ``faces`` in pixels of the working scene, the one to be replaced as it was found there."""
        if self.faces is None:
            return None
        boxes = [self.frame.to_working(box) for box in self.faces]
        return tuple(replaced if number == self.number else box for number, box in enumerate(boxes))


class Placing:
    """Frames the scene of one search, and puts its pictures back.

    Args:
        laboratory: Where.
        priors: Finds faces.
    """

    def __init__(self, laboratory: Laboratory, priors: PriorMaker) -> None:
        self._priors, self._artifacts, self._steps = priors, laboratory.artifacts, laboratory.steps

    async def choose(self, plan: SearchPlan, checkpoint: ServedCheckpoint) -> Place:
        """Choose the frame; faces are looked for only where it depends on them.

        Raises:
            NoFaceFound: The face that is meant is not there, though others are, or the face was to be the frame.
        """
        size = (plan.scene.shape[1], plan.scene.shape[0])
        if not needs_face(size, checkpoint.sizes, plan.framing):
            return Place(choose_frame(size, checkpoint.sizes, plan.framing, mask=plan.mask))
        faces, number, face = await self._sighted(plan, checkpoint)
        if number is None and plan.framing is Framing.FACE:
            raise NoFaceFound("scene")
        frame = await asyncio.to_thread(choose_frame, size, checkpoint.sizes, plan.framing, face=face, mask=plan.mask)
        return Place(frame, faces or None, number, face)

    async def number_of_face(self, place: Place, inputs: Inputs, scene: str, checkpoint: ServedCheckpoint) -> int:
        """Say which face of the working scene is the one to be replaced, as `Models.prepare_prior` counts them.

        Args:
            place: Where the search works; its face is known.
            inputs: Its fitted pictures.
            scene: Artifact of the working scene.
            checkpoint: Whose detector looks.

        Raises:
            NoFaceFound: It is not found again in the frame.
        """

        async def work() -> Json:
            return {"faces": (await self._find(inputs.scene)).as_tuples()}

        looked_at = {"checkpoint": checkpoint.fingerprint, "scene": scene}
        seen = (await self._steps.run("faces", looked_at, work))["faces"]
        number = None if place.face is None else same_face(place.frame.to_working(place.face), seen)
        if number is None:
            raise NoFaceFound("scene", len(seen))
        return number

    async def keep(self, place: Place, plan: SearchPlan) -> dict[str, str]:
        """Keep what putting back needs, as artifacts: the scene and the mask as they came; none where all is there."""
        if place.frame.is_all_of(plan.scene):
            return {}
        kept = {"scene_as_it_came": await put_picture(self._artifacts, plan.scene)}
        if plan.mask is not None:
            kept["mask_as_it_came"] = await put_picture(self._artifacts, plan.mask)
        return kept

    @staticmethod
    def is_cut(edit: Edit) -> bool:
        """Whether pictures of an edit have to be put back into its scene."""
        return "scene_as_it_came" in edit.digests

    async def deliver(self, edit: Edit, picture: str) -> str:
        """Put a picture of a search back into its scene.

        Args:
            edit: That it results from.
            picture: Its artifact.

        Returns:
            Artifact of the scene as it came with the picture in it, PNG; where the frame is all of the scene at the
            frame's size, that of the picture.
        """
        if not self.is_cut(edit):
            return picture
        inputs = {
            "scene": edit.digests["scene_as_it_came"],
            "mask": edit.digests.get("mask_as_it_came"),
            "working": edit.digests["scene"],
            "picture": picture,
            "frame": list(edit.inputs.frame.rectangle),
            "face": list(edit.scene_box),
            "method": METHOD,
        }
        return str((await self._steps.run("deliver", inputs, lambda: self._pasted(edit, inputs)))["delivered"])

    async def _find(self, picture: Picture) -> FoundFaces:
        return await self._priors.find("scene", picture)

    async def _sighted(
        self, plan: SearchPlan, checkpoint: ServedCheckpoint
    ) -> tuple[tuple[Box, ...], int | None, Box | None]:
        """Look for the faces of the scene as it came: all boxes, and number and exact box of the one to be replaced."""

        async def work() -> Json:
            faces = await find_in_scene(self._find, plan.scene)
            if not len(faces.boxes):
                return {"faces": [], "number": None, "face": None}
            number = await self._meant(plan, faces)
            boxes = faces.as_tuples()
            return {"faces": boxes, "number": number, "face": await look_closely(self._find, plan.scene, boxes[number])}

        inputs: Json = {
            "checkpoint": checkpoint.fingerprint,
            "scene_as_it_came": await hash_of(plan.scene),
            "scene_face": plan.scene_face,
            "look": _LOOK,
        }
        if (choice := plan.scene_face_by) is not None:
            meant = list(choice.box) if isinstance(choice, ByBox) else await hash_of(choice.picture)
            inputs["scene_face_by"] = meant
        seen = await self._steps.run("sight", inputs, work)
        face = None if seen["face"] is None else tuple(seen["face"])
        return tuple(tuple(box) for box in seen["faces"]), seen["number"], face

    async def _meant(self, plan: SearchPlan, faces: FoundFaces) -> int:
        """Give the number of the face that the plan means among those of the scene as it came."""
        choice = fitted_choice(plan.scene_face_by, lambda box: box)
        if choice is not None:
            return await self._priors.chosen(faces, choice, "scene_face_by")
        if plan.scene_face >= len(faces.boxes):
            raise NoFaceFound("scene", len(faces.boxes))
        return max(plan.scene_face, 0)

    async def _pasted(self, edit: Edit, inputs: Json) -> Json:
        scene = await get_picture(self._artifacts, inputs["scene"])
        picture = await get_picture(self._artifacts, inputs["picture"])
        mask = None if inputs["mask"] is None else mask_of(await get_picture(self._artifacts, inputs["mask"]))
        delivered = await asyncio.to_thread(
            paste_back, scene, picture, edit.inputs.frame, working=edit.inputs.scene, face=edit.scene_box, mask=mask
        )
        return {"delivered": await put_picture(self._artifacts, delivered)}

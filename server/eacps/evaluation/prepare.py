"""Preparation: the served checkpoint, the frame, the fitted pictures and the prior.

One model finds faces, the search server chooses one, and another model puts the character's face in its place.
"""

import asyncio

from eacps.arrays import Float32, Picture
from eacps.artifacts import Artifact, put_pictures, vector_artifact
from eacps.errors import FieldViolation, InvalidRequest, NoFaceFound
from eacps.evaluation.finish import Delivery
from eacps.evaluation.plan import Edit, Inputs, PriorMode, SearchPictures, SearchSettings
from eacps.evaluation.services import ModelCalls, Models, Services
from eacps.evaluation.timing import Stopwatch
from eacps.imaging import encode_png, fit_picture
from eacps.scene.face_search import FaceSearch
from eacps.scene.faces import Faces
from eacps.scene.frame import Frame, cut_mask, cut_picture
from eacps.scene.person import Person, find_person
from eacps.scene.target import NO_FACE, FramedScene, find_target, frame_scene
from eacps.triton.types import ServedCheckpoint

NO_SWAPPER = "needs a face swapper, and the served models have none: ask for prior.none or prior.given"
_DESCRIBE_TIMEOUT_S = 5.0  # the gateway's own


def face_search(models: Models, calls: ModelCalls, *, cap_s: float) -> FaceSearch:
    """Return a search for faces over the served models; no call of it takes more than ``cap_s`` seconds."""

    async def find(picture: Picture) -> Faces:
        async def call(timeout_s: float) -> Faces:
            return (await models.embed_faces(picture[None], timeout_s=timeout_s))[0]

        return await calls.with_retries(call, cap_s=cap_s)

    return FaceSearch(find)


class Preparation:
    """Makes the edit of one search.

    Args:
        services: Find and swap faces, and keep pictures.
        delivery: Keeps what delivering needs.
        calls: Makes the calls.
        stopwatch: Measures how long it takes.
    """

    def __init__(self, services: Services, delivery: Delivery, *, calls: ModelCalls, stopwatch: Stopwatch) -> None:
        self._models, self._artifacts, self._calls, self._stopwatch = (
            services.models,
            services.artifacts,
            calls,
            stopwatch,
        )
        self._delivery, self._cap_s = delivery, services.limits.call_timeout_s
        self._faces = face_search(services.models, calls, cap_s=self._cap_s)

    async def describe(self) -> ServedCheckpoint:
        """Ask which checkpoint is served."""
        return await self._calls.with_retries(lambda _: self._models.describe(), cap_s=_DESCRIBE_TIMEOUT_S)

    async def edit_of(self, settings: SearchSettings, pictures: SearchPictures, checkpoint: ServedCheckpoint) -> Edit:
        """Choose the frame, fit the pictures to its size and make the identity prior.

        Raises:
            NoFaceFound: A picture shows no face, or not the chosen one.
            InvalidRequest: The checkpoint cannot do what is asked for; see `fit_inputs`.
        """
        with self._stopwatch.measure("prepare"):
            framed = await frame_scene(
                self._faces,
                pictures.scene,
                pictures.scene_face,
                mask=pictures.mask,
                sizes=checkpoint.sizes,
                framing=settings.framing,
                needs_face=settings.prior is PriorMode.SWAP,
            )
            person = await find_person(
                self._faces, pictures.character, pictures.character_face, pictures.more_characters
            )
            inputs = await asyncio.to_thread(fit_inputs, settings, pictures, checkpoint, framed.frame, person)
            as_they_came = await self._delivery.keep(pictures)
            return await self._edit(checkpoint, inputs, framed, person, as_they_came)

    async def _edit(
        self,
        checkpoint: ServedCheckpoint,
        inputs: Inputs,
        framed: FramedScene,
        person: Person,
        as_they_came: dict[str, str],
    ) -> Edit:
        named = inputs.named
        digests = dict(zip(named, await put_pictures(self._artifacts, list(named.values())), strict=True))
        target = await find_target(self._faces, framed, inputs.scene)
        prior = await self._prior(inputs, None if target is None else target.landmarks, person.identity)
        picture = Artifact.of(await asyncio.to_thread(encode_png, prior))
        embedding = vector_artifact(person.identity)
        await self._artifacts.put([picture, embedding])
        return Edit(
            checkpoint=checkpoint,
            inputs=inputs,
            digests={**as_they_came, **digests, "prior": picture.digest, "embedding": embedding.digest},
            prior=prior,
            embedding=person.identity,
            scene_box=NO_FACE if target is None else target.box,
            character_box=person.box,
            character_face=person.shown.face,
            more_faces=tuple(one.face for one in person.more),
            scene_faces=framed.faces_in_frame(target),
            character_faces=person.faces,
        )

    async def _prior(self, inputs: Inputs, landmarks: Float32 | None, identity: Float32) -> Picture:
        """Make the prior.

        Args:
            inputs: The edit's, fitted.
            landmarks: ``float32 [5, 2]``, of the face to replace, in pixels of ``inputs.scene``; None where the scene
                shows no face.
            identity: ``float32 [512]``, unit norm: to put in.

        Returns:
            ``uint8 [H, W, 3]``, of the size of ``inputs.scene``.

        Raises:
            NoFaceFound: The scene shows no face in which to swap.
        """
        if inputs.given_prior is not None:
            return inputs.given_prior
        if inputs.prior is PriorMode.NONE:
            return inputs.scene
        if landmarks is None:
            raise NoFaceFound("scene")
        replaced = landmarks

        async def swap(timeout_s: float) -> Picture:
            return await self._models.swap_face(inputs.scene, replaced, identity, timeout_s=timeout_s)

        return await self._calls.with_retries(swap, cap_s=self._cap_s)


def fit_inputs(
    settings: SearchSettings, pictures: SearchPictures, checkpoint: ServedCheckpoint, frame: Frame, person: Person
) -> Inputs:
    """Bring the pictures of a search to the frame's size.

    Args:
        settings: Of the search.
        pictures: As they came.
        checkpoint: That it runs on.
        frame: The part of the scene that is worked on.
        person: The character, found in its pictures.

    Raises:
        InvalidRequest: There are more conditioning pictures than the checkpoint takes, the prior cannot be made, or
            nothing of the mask's white part is left in the working picture.
    """
    _check_prior(settings, pictures, checkpoint, frame)
    given = pictures.given_prior
    inputs = Inputs(
        frame=frame,
        scene=cut_picture(pictures.scene, frame),
        character=person.shown.picture,
        references=_references(settings, pictures, checkpoint.max_pictures, frame),
        mask=None if pictures.mask is None else cut_mask(pictures.mask, frame),
        steps=settings.steps or checkpoint.default_steps,
        more_characters={f"more_characters[{index}]": one.picture for index, one in enumerate(person.more)},
        prior=settings.prior,
        given_prior=None if given is None else _fitted_prior(given, pictures.scene, frame),
    )
    _check_mask(inputs)
    return inputs


def _check_mask(inputs: Inputs) -> None:
    """Check that the fitted mask is not black everywhere: its white part may be outside the frame, or smaller than a
    pixel of the working picture."""
    if inputs.mask is not None and not inputs.mask.any():
        error = "is black everywhere within the frame at the working size"
        raise InvalidRequest([FieldViolation("mask.data", error)])


def _check_prior(
    settings: SearchSettings, pictures: SearchPictures, checkpoint: ServedCheckpoint, frame: Frame
) -> None:
    """Check that the prior can be made; the served models may have changed since the request was accepted."""
    if settings.prior is PriorMode.SWAP and not checkpoint.face_swap:
        raise InvalidRequest([FieldViolation("prior.swap", NO_SWAPPER)])
    if settings.prior is PriorMode.NONE and checkpoint.max_pictures == 1:
        error = "leaves the model without the person: the checkpoint takes only one picture"
        raise InvalidRequest([FieldViolation("prior.none", error)])
    given, scene = pictures.given_prior, pictures.scene
    if given is not None and _size_of(given) not in (_size_of(scene), frame.size):
        size, of_scene, working = (f"{w}x{h}" for w, h in (_size_of(given), _size_of(scene), frame.size))
        error = f"is {size}: neither of the scene's size, {of_scene}, nor of the working size, {working}"
        raise InvalidRequest([FieldViolation("prior.given.data", error)])


def _fitted_prior(given: Picture, scene: Picture, frame: Frame) -> Picture:
    return cut_picture(given, frame) if given.shape == scene.shape else given


def _size_of(picture: Picture) -> tuple[int, int]:
    return picture.shape[1], picture.shape[0]


def _references(
    settings: SearchSettings, pictures: SearchPictures, max_pictures: int, frame: Frame
) -> dict[str, Picture]:
    asked = settings.character_as_reference
    shows_character = max_pictures > 1 if asked is None else asked
    shown = {"reference": pictures.character} if shows_character else {}
    shown |= {f"references[{index}]": picture for index, picture in enumerate(pictures.references)}
    if len(shown) >= max_pictures:
        field = "references" if pictures.references else "sampler.character_as_reference"
        error = f"make {len(shown) + 1} pictures with the prior; the checkpoint takes at most {max_pictures}"
        raise InvalidRequest([FieldViolation(field, error)])
    width, height = frame.size
    return {name: fit_picture(picture, width=width, height=height) for name, picture in shown.items()}

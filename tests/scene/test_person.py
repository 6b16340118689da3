"""The person of the character's pictures: looked at closely where the face is small, shown at a moderate size."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from eacps.arrays import Picture
from eacps.errors import NoFaceFound
from eacps.scene.choice import ByBox, ByIndex, FaceChoice, Largest
from eacps.scene.face_search import CLOSE_SIDE, FaceSearch
from eacps.scene.faces import Faces
from eacps.scene.geometry import Box
from eacps.scene.person import Person, find_person
from tests.scene.test_face_search import Detector, scene

LARGEST = Largest()


class Embedder(Detector):
    """As `Detector`; an embedding's second part tells the side of the picture that it was made from."""

    async def __call__(self, picture: Picture) -> Faces:
        found = await super().__call__(picture)
        embeddings = found.embeddings.copy()
        embeddings[:, 100] = max(picture.shape[:2]) / 1000
        return replace(found, embeddings=embeddings)


async def person_of(
    character: Picture,
    detector: Detector,
    more: Sequence[Picture] = (),
    *,
    choice: FaceChoice = LARGEST,
) -> Person:
    return await find_person(FaceSearch(detector), character, choice, more)


def side_seen(embedding: np.ndarray) -> float:
    """Side of the picture that an embedding was made from."""
    return 1000 * float(embedding[100])


async def test_a_face_of_some_size_is_taken_as_it_is_found() -> None:
    face: Box = (300.0, 200.0, 420.0, 340.0)
    picture, detector = scene(1000, 800, (10, 10, 80, 80), face), Embedder(0.02)
    person = await person_of(picture, detector)
    assert (person.box, person.shown.face, detector.looks) == (face, 1, 1)
    assert person.shown.picture is picture
    assert side_seen(person.identity) == pytest.approx(1000)
    assert len(person.faces) == 2


async def test_a_small_face_is_embedded_from_near_by() -> None:
    face: Box = (2400.0, 1600.0, 2460.0, 1670.0)
    picture, detector = scene(4000, 3000, face), Embedder(0.01)
    person = await person_of(picture, detector)
    assert np.abs(np.subtract(person.box, face)).max() <= 1
    assert person.shown.picture.shape == (210, 180, 3)
    assert person.shown.face == 0
    assert side_seen(person.identity) == pytest.approx(210), "embedded from the close look, in all its pixels"


async def test_a_face_that_the_whole_does_not_show_is_found_in_parts() -> None:
    face: Box = (2400.0, 1600.0, 2460.0, 1670.0)
    person = await person_of(scene(4000, 3000, face), Embedder(0.03))
    assert np.abs(np.subtract(person.box, face)).max() <= 1
    assert side_seen(person.identity) == pytest.approx(210)


async def test_a_large_face_of_a_large_picture_is_embedded_from_all_of_it_and_shown_cut_out() -> None:
    face: Box = (1000.0, 500.0, 2200.0, 1900.0)
    picture = scene(4000, 3000, face)
    person = await person_of(picture, Embedder(0.02))
    assert person.box == face
    assert side_seen(person.identity) == pytest.approx(4000), "as InsightFace embeds it"
    assert max(person.shown.picture.shape[:2]) == CLOSE_SIDE
    assert person.shown.face == 0


async def test_the_index_of_a_face_is_the_one_in_the_picture_that_is_shown() -> None:
    others = [(100.0 * n, 50.0, 100.0 * n + 60, 110.0) for n in range(8)]
    face: Box = (2400.0, 1600.0, 2470.0, 1670.0)
    detector = Embedder(0.01)
    person = await person_of(scene(4000, 3000, *others, face), detector, choice=ByIndex(8))
    assert np.abs(np.subtract(person.box, face)).max() <= 1
    assert person.shown.face == 0, "in its surroundings it is the only one"
    assert len(person.faces) == 9


async def test_further_pictures_are_looked_at_closely_too() -> None:
    small, large = scene(4000, 3000, (2400.0, 1600.0, 2460.0, 1670.0)), scene(400, 400, (100.0, 100.0, 300.0, 320.0))
    person = await person_of(large, Embedder(0.01), (small, large))
    assert [one.picture.shape for one in (person.shown, *person.more)] == [(400, 400, 3), (210, 180, 3), (400, 400, 3)]
    assert float(np.linalg.norm(person.identity)) == pytest.approx(1.0)


async def test_a_face_that_only_the_whole_shows_is_never_taken_for_another() -> None:
    class FarSighted(Embedder):
        """Sees nothing in pictures of less than 2000 pixels."""

        async def __call__(self, picture: Picture) -> Faces:
            found = await super().__call__(picture)
            return found if max(picture.shape[:2]) > 2000 else found.chosen([])

    face: Box = (2400.0, 1600.0, 2460.0, 1670.0)
    person = await person_of(scene(4000, 3000, face), FarSighted(0.01))
    assert person.box == face
    assert max(person.shown.picture.shape[:2]) == CLOSE_SIDE
    assert person.shown.face > 1000, "no face of the picture that is shown"


async def test_who_is_not_there_is_named() -> None:
    with pytest.raises(NoFaceFound, match="no face found in character"):
        await person_of(np.zeros((64, 64, 3), np.uint8), Embedder(0.01))
    box = ByBox((1.0, 1.0, 40.0, 40.0))
    with pytest.raises(NoFaceFound, match="none of them in the box: the nearest, 0, is at 600,400,640,440"):
        await person_of(scene(), Embedder(0.01), choice=box)

"""Held-out identity: another recognizer, the character embedded once."""

from dataclasses import replace

import numpy as np
import pytest

from eacps.errors import TritonUnavailable
from eacps.scene.faces import ShownFace
from eacps.scoring import EditContext, HeldOutIdentityScorer, MissingScore

CHARACTER = np.full((20, 16, 3), 7, np.uint8)
PICTURES = {name: np.full((32, 32, 3), shade, np.uint8) for name, shade in (("a", 1), ("b", 2))}
CONTEXT = EditContext(
    scene=PICTURES["a"],
    prompt="smile",
    reference_embedding=np.zeros(512, np.float32),
    character=CHARACTER,
    character_face=0,
    scene_box=(8.0, 8.0, 24.0, 24.0),
    timeout_s=5.0,
)


class Verifier:
    """Faces of a picture by its first pixel: angles in the plane, in degrees."""

    def __init__(self, **angles: list[float]) -> None:
        self.angles = {int(shade[1:]): found for shade, found in angles.items()}
        self.asked: list[int] = []

    async def verify_faces(self, pictures: np.ndarray, *, timeout_s: float | None = None) -> list[np.ndarray]:
        assert timeout_s == 5.0
        shades = [int(picture[0, 0, 0]) for picture in pictures]
        self.asked += shades
        return [np.array([unit(angle) for angle in self.angles[shade]]).reshape(-1, 4) for shade in shades]


def unit(angle: float) -> np.ndarray:
    return np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle)), 0, 0], np.float32)


async def test_the_likest_face_counts_and_no_face_is_zero() -> None:
    scorer = HeldOutIdentityScorer(Verifier(s7=[0.0], s1=[90.0, 60.0], s2=[]))
    assert await scorer.score(PICTURES, CONTEXT) == {"a": pytest.approx(0.5), "b": 0.0}


async def test_the_character_is_embedded_once() -> None:
    verifier = Verifier(s7=[0.0], s1=[0.0], s2=[180.0])
    scorer = HeldOutIdentityScorer(verifier)
    for _ in range(3):
        assert await scorer.score(PICTURES, CONTEXT) == {"a": pytest.approx(1.0), "b": 0.0}
    assert verifier.asked.count(7) == 1


async def test_the_chosen_face_of_the_character_is_meant() -> None:
    scorer = HeldOutIdentityScorer(Verifier(s7=[0.0, 90.0], s1=[90.0], s2=[0.0]))
    scores = await scorer.score(PICTURES, replace(CONTEXT, character_face=1))
    assert scores == {"a": pytest.approx(1.0), "b": pytest.approx(0.0, abs=1e-6)}


async def test_a_character_whom_the_verifier_does_not_see_leaves_scores_missing() -> None:
    scores = await HeldOutIdentityScorer(Verifier(s7=[], s1=[0.0], s2=[0.0])).score(PICTURES, CONTEXT)
    assert all(isinstance(score, MissingScore) for score in scores.values())


async def test_several_pictures_of_the_character_are_averaged() -> None:
    verifier = Verifier(s7=[0.0], s8=[180.0, 60.0], s1=[30.0], s2=[120.0])
    context = replace(CONTEXT, more_characters=(ShownFace(np.full((9, 9, 3), 8, np.uint8), 1),))
    scorer = HeldOutIdentityScorer(verifier)
    for _ in range(2):
        assert await scorer.score(PICTURES, context) == {"a": pytest.approx(1.0), "b": pytest.approx(0.0, abs=1e-6)}
    assert (verifier.asked.count(7), verifier.asked.count(8)) == (1, 1)
    alone = await scorer.score(PICTURES, CONTEXT)
    assert alone["a"] == pytest.approx(np.cos(np.radians(30)))


async def test_a_face_that_the_verifier_misses_in_a_further_picture_leaves_scores_missing() -> None:
    context = replace(CONTEXT, more_characters=(ShownFace(np.full((9, 9, 3), 8, np.uint8), 1),))
    scores = await HeldOutIdentityScorer(Verifier(s7=[0.0], s8=[0.0], s1=[0.0], s2=[0.0])).score(PICTURES, context)
    assert all(isinstance(score, MissingScore) for score in scores.values())


async def test_a_lost_triton_is_told_and_not_remembered() -> None:
    class Down(Verifier):
        async def verify_faces(self, pictures: np.ndarray, *, timeout_s: float | None = None) -> list[np.ndarray]:
            if not self.asked:
                self.asked.append(0)
                raise TritonUnavailable("gone")
            return await super().verify_faces(pictures, timeout_s=timeout_s)

    scorer = HeldOutIdentityScorer(Down(s7=[0.0], s1=[0.0], s2=[0.0]))
    with pytest.raises(TritonUnavailable):
        await scorer.score(PICTURES, CONTEXT)
    assert (await scorer.score(PICTURES, CONTEXT))["a"] == pytest.approx(1.0)

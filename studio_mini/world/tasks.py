"""Edit tasks: a scene, a character, a prompt, the badly transplanted prior and the drawn truth.

People are numbered within a split. The splits draw from different seed sequences, so no person of one is met in
another: what is measured on ``HELD_OUT`` was never trained on, and the held-out verifier learns from people of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from studio_mini.world.identity import Identity, draw_identity
from studio_mini.world.nuisance import PICTURE_SIZE, draw_nuisance
from studio_mini.world.prompts import (
    Accessory,
    Edit,
    Expression,
    Look,
    attribute_questions,
    phrase,
    sample_edit,
    sample_look,
)
from studio_mini.world.render import RenderedFace, render

PEOPLE = 100_000
"""People in each split."""


class Split(IntEnum):
    """Who may meet a picture; the value keys the seed sequence."""

    TRAIN = 1
    HELD_OUT = 2
    VERIFIER = 3


@dataclass(frozen=True, eq=False)
class Task:
    """One edit request with its answer.

    Attributes:
        scene: Person A in ``scene_look``.
        character: Person B, bare-headed, somewhere else and in another light.
        prior: uint8 [128, 128, 3]; B's inner face in ``scene_look``, transplanted badly into the scene. As a face
            swap's result it shows A's hair and nothing of the edit.
        truth: B whole (hair too) in A's place, pose, light, clothes and background, with the edit applied.
        prompt: The edit in words.
        edit: The same as data.
        scene_look, look: Looks of the scene and of the truth.
        attributes: Yes/no questions with the truth's answers.
    """

    scene: RenderedFace
    character: RenderedFace
    prior: NDArray[np.uint8]
    truth: RenderedFace
    prompt: str
    edit: Edit
    scene_look: Look
    look: Look
    attributes: dict[str, bool]


def person(index: int, split: Split = Split.TRAIN) -> Identity:
    """Return person ``index`` (0 to ``PEOPLE`` - 1) of ``split``, the same one every time.

    Raises:
        ValueError: ``index`` out of range.
    """
    if not 0 <= index < PEOPLE:
        raise ValueError(f"person {index} out of range 0 to {PEOPLE - 1}")
    return draw_identity(np.random.default_rng([int(split), 0, index]))


def face(index: int, shot: int, split: Split = Split.TRAIN, look: Look | None = None) -> tuple[RenderedFace, Look]:
    """Return shot number ``shot`` of person ``index``: situation, and look where not given, drawn from the number."""
    rng = np.random.default_rng([int(split), 1, index, shot])
    look = look or sample_look(rng)
    return render(person(index, split), draw_nuisance(rng), look), look


def task(seed: int, split: Split = Split.TRAIN) -> Task:
    """Return edit task number ``seed`` of ``split``; the same number gives the same task."""
    rng = np.random.default_rng([int(split), 2, seed])
    first, second = rng.choice(PEOPLE, 2, replace=False)
    a, b = person(int(first), split), person(int(second), split)
    place = draw_nuisance(rng)
    scene_look = sample_look(rng)
    edit = sample_edit(rng)
    look = edit.apply(scene_look)
    scene = render(a, place, scene_look)
    character_look = Look(list(Expression)[rng.integers(len(Expression))], Accessory.NONE)
    return Task(
        scene=scene,
        character=render(b, draw_nuisance(rng), character_look),
        prior=transplant(scene, render(b, place, scene_look), rng),
        truth=render(b, place, look),
        prompt=phrase(edit, rng),
        edit=edit,
        scene_look=scene_look,
        look=look,
        attributes=dict(attribute_questions(look)),
    )


def transplant(scene: RenderedFace, donor: RenderedFace, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Paste the donor's inner face into the scene as a poor face swap does; uint8 [128, 128, 3].

    The face is blurred, moved by up to 5 pixels, turned and scaled a little, its colors are off, it carries grain,
    and its seam is hard or soft.
    """
    face_picture = Image.fromarray(donor.picture).filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 2.0)))
    mask = Image.fromarray(donor.inner_face)
    if rng.random() < 0.5:
        mask = mask.filter(ImageFilter.BoxBlur(rng.uniform(0.5, 3.0)))
    matrix = _misplacement(donor, rng)
    size = (PICTURE_SIZE, PICTURE_SIZE)
    bilinear = Image.Resampling.BILINEAR
    moved = np.asarray(face_picture.transform(size, Image.Transform.AFFINE, matrix, bilinear), np.float32)
    share = np.asarray(mask.transform(size, Image.Transform.AFFINE, matrix, bilinear), np.float32)[..., None] / 255
    gain = np.clip(1 + rng.normal(0, 0.12) + rng.normal(0, 0.07, 3), 0.65, 1.4)
    grain = rng.normal(0, rng.uniform(0, 14), (PICTURE_SIZE, PICTURE_SIZE, 1))
    spoilt = moved * gain + rng.normal(0, 8, 3) + grain
    mixed = scene.picture * (1 - share) + spoilt * share
    return np.asarray(np.clip(mixed + 0.5, 0, 255).astype(np.uint8))


def _misplacement(donor: RenderedFace, rng: np.random.Generator) -> tuple[float, ...]:
    """Pillow's affine coefficients (output to input) of a small shift, turn and zoom about the nose."""
    x, y = (float(c) for c in donor.landmarks[2])
    angle, zoom = rng.normal(0, 0.05), np.exp(rng.normal(0, 0.05))
    dx, dy = np.clip(rng.normal(0, 2.0, 2), -5, 5)
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    return cos, sin, x - cos * (x + dx) - sin * (y + dy), -sin, cos, y + sin * (x + dx) - cos * (y + dy)

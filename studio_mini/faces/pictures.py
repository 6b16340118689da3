"""Training pictures for the face pack: single faces, faces in collages, faceless pictures, and swaps with their truth.

Everything is drawn from the world's `TRAIN` people except where a split is given.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from studio_mini.faces.alignment import transform_points
from studio_mini.world.nuisance import PICTURE_SIZE, draw_nuisance
from studio_mini.world.prompts import Accessory, Expression, Look, sample_look
from studio_mini.world.render import render
from studio_mini.world.tasks import PEOPLE, Split, person

SWAP_SEED: Final = 5  # keys this module's seed sequences apart from the world's own


@dataclass(frozen=True, eq=False)
class SwapPairs:
    """``S`` swaps: A in a situation, B elsewhere, and B in A's situation with A's look.

    Attributes:
        scenes, characters, truths: uint8 [S, 128, 128, 3], RGB.
        scene_landmarks, character_landmarks: float32 [S, 5, 2], pixels; the truth is cropped by the scene's.
    """

    scenes: NDArray[np.uint8]
    characters: NDArray[np.uint8]
    truths: NDArray[np.uint8]
    scene_landmarks: NDArray[np.float32]
    character_landmarks: NDArray[np.float32]


def draw_swap(number: int, split: Split = Split.TRAIN) -> dict[str, NDArray[np.uint8] | NDArray[np.float32]]:
    """Draw swap ``number``, the same one every time: the fields of `SwapPairs` for one swap."""
    rng = np.random.default_rng([int(split), SWAP_SEED, number])
    first, second = (person(int(index), split) for index in rng.choice(PEOPLE, 2, replace=False))
    place, look = draw_nuisance(rng), sample_look(rng)
    shown = Look(list(Expression)[rng.integers(len(Expression))], Accessory.NONE)
    scene, truth = render(first, place, look), render(second, place, look)
    character = render(second, draw_nuisance(rng), shown)
    return {
        "scenes": scene.picture,
        "characters": character.picture,
        "truths": truth.picture,
        "scene_landmarks": scene.landmarks,
        "character_landmarks": character.landmarks,
    }


def swap_pairs(build_dir: Path, count: int) -> SwapPairs:
    """Draw swaps 0 to ``count`` - 1 of the training people, or open those drawn before."""
    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    folder = build_dir / f"swaps_{count}_{source}"
    fields = tuple(SwapPairs.__dataclass_fields__)
    if not folder.exists():
        drawn = [draw_swap(number) for number in range(count)]
        partial = folder.with_suffix(".partial")
        partial.mkdir(parents=True, exist_ok=True)
        for field in fields:
            np.save(partial / f"{field}.npy", np.stack([swap[field] for swap in drawn]))
        partial.rename(folder)
    return SwapPairs(**{field: np.load(folder / f"{field}.npy", mmap_mode="r") for field in fields})


def faceless(rng: np.random.Generator, size: int = PICTURE_SIZE) -> NDArray[np.uint8]:
    """Draw a picture without a face, uint8 [size, size, 3]: gradients, shapes, stripes or noise."""
    grid = np.linspace(0, 1, size)
    ramp = np.clip(np.add.outer(grid * rng.normal(), grid * rng.normal()) + rng.random(), 0, 1)[..., None]
    picture = ramp * rng.uniform(0, 255, 3) + (1 - ramp) * rng.uniform(0, 255, 3)
    kind = rng.random()
    if kind < 0.2:
        coarse = rng.uniform(0, 255, (int(rng.integers(4, size + 1)),) * 2 + (3,)).astype(np.float32)
        share = rng.random()
        picture = picture * (1 - share) + share * cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)
    elif kind < 0.3:
        picture = picture * (1 + 0.6 * np.sin(np.arange(size) * rng.uniform(0.1, 1.5)))[:, None, None]
    drawn = np.clip(picture, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 7))):
        _draw_shape(drawn, rng)
    return drawn


def _draw_shape(picture: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Paint an ellipse, a rectangle or a line of any color, skin's among them: shape alone is no face."""
    size = len(picture)
    color = tuple(int(value) for value in rng.uniform(0, 255, 3))
    x, y = (int(value) for value in rng.integers(0, size, 2))
    width, height = (int(value) for value in rng.integers(2, size // 2, 2))
    kind = rng.integers(3)
    if kind == 0:
        cv2.ellipse(picture, (x, y), (width // 2 + 1, height // 2 + 1), float(rng.uniform(0, 180)), 0, 360, color, -1)
    elif kind == 1:
        cv2.rectangle(picture, (x, y), (x + width, y + height), color, -1)
    else:
        end = tuple(int(value) for value in rng.integers(0, size, 2))
        cv2.line(picture, (x, y), end, color, int(rng.integers(1, 8)))


Face = tuple[NDArray[np.floating], NDArray[np.floating]]
"""Box [4] xyxy and landmarks [5, 2], pixels."""


def place_face(
    canvas: NDArray[np.uint8], picture: NDArray[np.uint8], face: Face, matrix: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], Face]:
    """Warp a picture with its face onto a canvas.

    Args:
        canvas: [H, W, 3] uint8, seen where the warped picture does not reach.
        picture: [H2, W2, 3] uint8.
        face: Of the picture.
        matrix: [2, 3], pixels of the picture to pixels of the canvas.

    Returns:
        The new picture, and the face in it: the box is upright around the warped one's middle, of its size.
    """
    height, width = canvas.shape[:2]
    box, landmarks = face
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    shrink = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
    covered = cv2.warpAffine(np.full(picture.shape[:2], 255, np.uint8), matrix, (width, height))[..., None] == 255
    warped = cv2.warpAffine(picture, matrix, (width, height), flags=shrink, borderMode=cv2.BORDER_REPLICATE)
    middle = transform_points(matrix, np.array([[(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]]))[0]
    half = scale * np.array([box[2] - box[0], box[3] - box[1]]) / 2
    moved = np.concatenate([middle - half, middle + half])
    return np.where(covered, warped, canvas), (moved, transform_points(matrix, landmarks))


MIRRORED_LANDMARKS: Final = [1, 0, 2, 4, 3]


def mirror(picture: NDArray[np.uint8], face: Face) -> tuple[NDArray[np.uint8], Face]:
    """Mirror left and right; the landmarks keep their meaning (left is the picture's left)."""
    last = picture.shape[1] - 1
    box, landmarks = face
    points = np.stack([last - landmarks[:, 0], landmarks[:, 1]], axis=1)[MIRRORED_LANDMARKS]
    return np.ascontiguousarray(picture[:, ::-1]), (np.array([last - box[2], box[1], last - box[0], box[3]]), points)

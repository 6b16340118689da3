"""Models that see colored squares as faces, so that scenes of any size with faces at known places can be tried."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eacps.arrays import Float32, UInt8
from eacps.scene.faces import Faces
from eacps.scene.geometry import Box
from eacps.testing import TOY_CHECKPOINT, ToyModels
from eacps.triton.types import Generated, GenerateRequest, ServedCheckpoint

COLORS = ((230, 30, 30), (30, 30, 230), (30, 200, 30))
"""Of the faces that there can be, one of each."""
_NEAR = 40  # levels by which resizing may change a color
PORTRAITS = ((50, 50), (128, 128))
"""Sizes of the tests' character pictures, which show one face though no square."""
LEAST_SHARE = 0.05
"""A face smaller than this share of the picture's longer side is not seen."""


def scene_with(width: int, height: int, *faces: Box) -> UInt8:
    """A gray scene with fine grain, and squares of the colors in their order."""
    grain = np.random.default_rng(7).integers(120, 136, (height, width, 1), np.uint8)
    scene = np.repeat(grain, 3, axis=2)
    for (left, top, right, bottom), color in zip(faces, COLORS, strict=False):
        scene[round(top) : round(bottom), round(left) : round(right)] = color
    return scene


class ColoredModels(ToyModels):
    """Toy models whose faces are colored squares, and which note what they were asked.

    Args:
        sizes: In which they work, the default one first.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]] = ((32, 32),)) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.looked_at: list[tuple[int, int]] = []
        self.asked: list[GenerateRequest] = []
        self.replaced: list[Box] = []

    async def describe(self) -> ServedCheckpoint:
        width, height = self.sizes[0]
        latents = (1, height // 16, width // 16)
        return replace(TOY_CHECKPOINT, width=width, height=height, latent_shape=latents, sizes=self.sizes)

    async def embed_faces(self, pictures: UInt8, *, timeout_s: float | None = None) -> list[Faces]:
        """Of the first picture; every color is another person."""
        self.looked_at.append((pictures.shape[2], pictures.shape[1]))
        size = self.looked_at[-1]
        portrait = [((0.0, 0.0, *map(float, size)), 0)] if size in PORTRAITS else []
        found = faces_of(pictures[0]) or portrait
        boxes = [box for box, _ in found]
        corners = [[box[:2], (box[2], box[1]), box[:2], (box[0], box[3]), box[2:]] for box in boxes]
        faces = Faces(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(corners, np.float32).reshape(-1, 5, 2),
            np.linspace(0.9, 0.5, len(found), dtype=np.float32),
            np.eye(len(COLORS), 512, dtype=np.float32)[[person for _, person in found]],
        )
        return [faces] * len(pictures)

    async def swap_face(
        self, scene: UInt8, landmarks: Float32, source: Float32, *, timeout_s: float | None = None
    ) -> UInt8:
        del source, timeout_s
        (left, top), (right, bottom) = landmarks[0].tolist(), landmarks[4].tolist()
        self.replaced.append((left, top, right, bottom))
        return scene // 2

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        self.asked.append(request)
        return await super().generate(request, timeout_s=timeout_s)


def faces_of(picture: UInt8) -> list[tuple[Box, int]]:
    """Boxes and colors of the faces of a picture, largest first."""
    found = [(box, person) for person, color in enumerate(COLORS) if (box := _box_of(picture, color)) is not None]
    return sorted(found, key=lambda one: -(one[0][2] - one[0][0]) * (one[0][3] - one[0][1]))


def _box_of(picture: UInt8, color: tuple[int, int, int]) -> Box | None:
    near = np.abs(picture.astype(np.int16) - color).max(axis=2) < _NEAR
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    if not rows.size or columns[-1] + 1 - columns[0] < LEAST_SHARE * max(picture.shape[:2]):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)

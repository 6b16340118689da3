"""Models that see coloured squares as faces, so that scenes of any size with faces at known places can be tried."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eacps.errors import NoFaceFound
from eacps.evaluation.toy import TOY_CHECKPOINT, ToyModels
from eacps.triton.types import Box, Faces, Float32, Generated, GenerateRequest, Prior, ServedCheckpoint, UInt8

COLOURS = ((230, 30, 30), (30, 30, 230), (30, 200, 30))
"""Of the faces that there can be, one of each."""
_NEAR = 40  # levels by which resizing may change a colour
LEAST_SHARE = 0.05
"""A face smaller than this share of the picture's longer side is not seen."""


def scene_with(width: int, height: int, *faces: Box) -> UInt8:
    """A grey scene with fine grain, and squares of the colours in their order."""
    grain = np.random.default_rng(7).integers(120, 136, (height, width, 1), np.uint8)
    scene = np.repeat(grain, 3, axis=2)
    for (left, top, right, bottom), colour in zip(faces, COLOURS, strict=False):
        scene[round(top) : round(bottom), round(left) : round(right)] = colour
    return scene


class ColouredModels(ToyModels):
    """Toy models whose faces are coloured squares, and which note what they were asked.

    Args:
        sizes: In which they work, the default one first.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]] = ((32, 32),)) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.looked_at: list[tuple[int, int]] = []
        self.asked: list[GenerateRequest] = []
        self.replaced: list[int] = []

    async def describe(self) -> ServedCheckpoint:
        width, height = self.sizes[0]
        latents = (1, height // 16, width // 16)
        return replace(TOY_CHECKPOINT, width=width, height=height, latent_shape=latents, sizes=self.sizes)

    async def embed_faces(self, pictures: UInt8, *, timeout_s: float | None = None) -> Faces:
        """Of the first picture; every colour is another person."""
        self.looked_at.append((pictures.shape[2], pictures.shape[1]))
        faces = await super().embed_faces(pictures, timeout_s=timeout_s)
        found = faces_of(pictures[0])
        faces.counts[:] = len(found)
        for row, (box, person) in enumerate(found):
            faces.boxes[:, row] = box
            faces.embeddings[:, row] = np.eye(1, 512, person, dtype=np.float32)
        return faces

    async def prepare_prior(
        self,
        scene: UInt8,
        character: UInt8,
        *,
        scene_face: int = -1,
        character_face: int = -1,
        source: Float32 | None = None,
        timeout_s: float | None = None,
    ) -> Prior:
        del character_face, timeout_s
        self.replaced.append(scene_face)
        faces = faces_of(scene)
        if len(faces) <= max(scene_face, 0):
            raise NoFaceFound("scene", len(faces))
        embedding = np.eye(1, 512, dtype=np.float32)[0] if source is None else source
        height, width = character.shape[:2]
        box, _ = faces[max(scene_face, 0)]
        return Prior(scene // 2, embedding, box, (0.0, 0.0, float(width), float(height)))

    async def generate(self, request: GenerateRequest, *, timeout_s: float | None = None) -> Generated:
        self.asked.append(request)
        return await super().generate(request, timeout_s=timeout_s)


def faces_of(picture: UInt8) -> list[tuple[Box, int]]:
    """Boxes and colours of the faces of a picture, largest first."""
    found = [(box, person) for person, colour in enumerate(COLOURS) if (box := _box_of(picture, colour)) is not None]
    return sorted(found, key=lambda one: -(one[0][2] - one[0][0]) * (one[0][3] - one[0][1]))


def _box_of(picture: UInt8, colour: tuple[int, int, int]) -> Box | None:
    near = np.abs(picture.astype(np.int16) - colour).max(axis=2) < _NEAR
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    if not rows.size or columns[-1] + 1 - columns[0] < LEAST_SHARE * max(picture.shape[:2]):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)

"""Test doubles of the models: they make pictures from recipes in microseconds, to test orchestration.

A candidate's picture is a gray field whose brightness is a smooth, deterministic function of its noise, which is also
what its latents hold; the toy scorer reads the brightness back. No network is involved, and the server uses nothing of
this module.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from eacps.arrays import Float32, Picture, UInt8
from eacps.scene.faces import Faces
from eacps.scene.geometry import Box
from eacps.scoring.scorer import EditContext, Score
from eacps.triton.types import Generated, GenerateRequest, ServedCheckpoint

TOY_CHECKPOINT = ServedCheckpoint(
    name="toy",
    fingerprint=hashlib.sha256(b"toy").hexdigest(),
    width=32,
    height=32,
    default_steps=4,
    latent_shape=(1, 2, 2),
    noise_version="toy-1",
    triton_version="none",
)

_NOBODY = np.eye(1, 512, dtype=np.float32)[0]


class ToyModels:
    """Follows `eacps.evaluation.services.Models`.

    Args:
        duration_s: How long a call of ``generate`` takes.
        sees_faces: Whether any picture shows a face.
    """

    def __init__(self, duration_s: float = 0.0, *, sees_faces: bool = True) -> None:
        self.duration_s, self.sees_faces = duration_s, sees_faces

    async def describe(self) -> ServedCheckpoint:
        """See `Models.describe`."""
        return TOY_CHECKPOINT

    def expecting(self, build: str) -> AbstractContextManager[None]:  # noqa: ARG002  # the toy is always the same
        """See `Models.expecting`."""
        return nullcontext()

    async def swap_face(
        self,
        scene: UInt8,
        landmarks: Float32,  # noqa: ARG002  # the toy sees one face everywhere
        source: Float32,  # noqa: ARG002
        *,
        timeout_s: float | None = None,  # noqa: ARG002
    ) -> UInt8:
        """Return the scene, darker."""
        return (scene // 2).astype(np.uint8)

    async def embed_faces(
        self,
        pictures: UInt8,
        *,
        timeout_s: float | None = None,  # noqa: ARG002
    ) -> list[Faces]:
        """Take all of a picture, but for a margin, for its one face, and everybody for the same person."""
        left, top, right, bottom = box = _face_of(pictures[0])
        corners = [(left, top), (right, top), ((left + right) / 2, (top + bottom) / 2), (left, bottom), (right, bottom)]
        face = Faces(
            np.array([box], np.float32), np.array([corners], np.float32), np.ones(1, np.float32), _NOBODY[None]
        )
        return [face if self.sees_faces else Faces.none()] * len(pictures)

    async def generate(
        self,
        request: GenerateRequest,
        *,
        timeout_s: float | None = None,  # noqa: ARG002
    ) -> Generated:
        """One gray picture for each recipe."""
        await asyncio.sleep(self.duration_s)
        rows = zip(request.seeds, request.coefficients, strict=True)
        noises = np.stack([_noise(seeds, coefficients) for seeds, coefficients in rows]).astype(np.float32)
        if request.latents is not None:
            sigma = 1.0 - request.start_step / request.steps
            noises = np.asarray(sigma * noises + (1.0 - sigma) * request.latents[:, 0], np.float32)
        grays = [_brightness(noise) for noise in noises]
        shape = request.pictures.shape[1:]
        pictures = np.stack([np.full(shape, round(255 * gray), np.uint8) for gray in grays])
        return Generated(pictures, noises[:, None])


class ToyScorer:
    """Brightness of a picture. Follows `eacps.scoring.Scorer`.

    Args:
        name: Its name.
        duration_s: How long a call takes.
    """

    def __init__(self, name: str = "brightness", duration_s: float = 0.0) -> None:
        self.name, self.duration_s = name, duration_s
        self.identity = "toy_brightness@1"
        self.stochastic, self.vlm_calls = False, 0

    async def score(
        self,
        pictures: Mapping[str, Picture],
        context: EditContext,  # noqa: ARG002  # brightness needs none
    ) -> Mapping[str, Score]:
        """See `Scorer.score`."""
        await asyncio.sleep(self.duration_s)
        return {name: float(picture.mean()) / 255 for name, picture in pictures.items()}


def _face_of(picture: UInt8) -> Box:
    height, width = picture.shape[:2]
    return 8.0, 8.0, width - 8.0, height - 8.0


def _noise(seeds: np.ndarray[tuple[int], np.dtype[np.uint32]], coefficients: np.ndarray) -> np.ndarray:
    draws = [np.random.Generator(np.random.PCG64(int(seed))).standard_normal(4) for seed in seeds]
    return np.asarray(coefficients @ np.stack(draws))


def _brightness(noise: np.ndarray) -> float:
    """A single hill over noise space, highest at (1, 1, 1, 1)."""
    return float(np.exp(-0.25 * ((noise - 1.0) ** 2).sum()))

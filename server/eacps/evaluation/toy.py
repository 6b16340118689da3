"""A toy in the place of the models: makes pictures from recipes in microseconds, so that orchestration can be tried.

A candidate's picture is a grey field whose brightness is a smooth, deterministic function of its noise; the toy scorer
reads the brightness back. No network is involved, and nothing here is used by the server.
"""

import asyncio
import hashlib
from collections.abc import Mapping

import numpy as np

from eacps.imaging import Picture
from eacps.scoring.scorer import EditContext, Outcome
from eacps.tensors import MAX_FACES
from eacps.triton.types import Box, Faces, Float32, Generated, GenerateRequest, Prior, ServedCheckpoint, UInt8

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
    """Follows `eacps.evaluation.ports.Models`.

    Args:
        duration_s: How long a call of ``generate`` takes.
    """

    def __init__(self, duration_s: float = 0.0) -> None:
        self.duration_s = duration_s

    async def describe(self) -> ServedCheckpoint:
        """See `Models.describe`."""
        return TOY_CHECKPOINT

    async def prepare_prior(
        self,
        scene: UInt8,
        character: UInt8,
        *,
        scene_face: int = -1,  # noqa: ARG002  # the toy sees one face everywhere
        character_face: int = -1,  # noqa: ARG002
        source: Float32 | None = None,
        timeout_s: float | None = None,  # noqa: ARG002
    ) -> Prior:
        """Half scene, half the character's mean colour."""
        picture = (scene // 2 + character.mean(axis=(0, 1)).astype(np.uint8) // 2).astype(np.uint8)
        return Prior(picture, _NOBODY if source is None else source, _face_of(scene), _face_of(character))

    async def embed_faces(
        self,
        pictures: UInt8,
        *,
        timeout_s: float | None = None,  # noqa: ARG002
    ) -> Faces:
        """All of a picture, but for a margin, is its one face, and everybody is the same person."""
        count = len(pictures)
        faces = Faces(
            counts=np.ones(count, np.int32),
            boxes=np.zeros((count, MAX_FACES, 4), np.float32),
            landmarks=np.zeros((count, MAX_FACES, 5, 2), np.float32),
            detection_scores=np.ones((count, MAX_FACES), np.float32),
            embeddings=np.zeros((count, MAX_FACES, 512), np.float32),
        )
        faces.boxes[:, 0], faces.embeddings[:, 0] = _face_of(pictures[0]), _NOBODY
        return faces

    async def generate(
        self,
        request: GenerateRequest,
        *,
        timeout_s: float | None = None,  # noqa: ARG002
    ) -> Generated:
        """One grey picture for each recipe; dark while ``stop_step`` is far from ``steps``."""
        await asyncio.sleep(self.duration_s)
        progress = request.stop_step / request.steps
        rows = zip(request.seeds, request.coefficients, strict=True)
        greys = [progress * _brightness(_noise(seeds, coefficients)) for seeds, coefficients in rows]
        shape = request.pictures.shape[1:]
        pictures = np.stack([np.full(shape, round(255 * grey), np.uint8) for grey in greys])
        return Generated(pictures, np.zeros((len(greys), 1, 4), np.float32))


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
    ) -> Mapping[str, Outcome]:
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

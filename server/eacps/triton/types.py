"""What goes into and comes out of the gateway."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eacps.tensors import MAX_CONDITIONING_PICTURES

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ServedCheckpoint:
    """What Triton serves.

    Args:
        name: The checkpoint's name.
        fingerprint: Hash over the exported weights: another fingerprint, other pictures.
        width: Pixels of the pictures it makes.
        height: Pixels of the pictures it makes.
        default_steps: Denoising steps of the full schedule where the caller names none.
        latent_shape: Channels, height and width of one candidate's noise.
        noise_version: How the sampler draws a seed's noise: another version, other noise for the same recipe.
        triton_version: Of the server.
        calibration: What was measured on the checkpoint beforehand, as its ``calibration.json`` holds it
            (`eacps.search.calibration`); None where it has none.
        sizes: Widths and heights of the pictures it makes, the default one first; none means that one alone.
        max_pictures: Most conditioning pictures, the prior included.
        build: Digest of the networks as exported, all of which passed the parity gate (`eacps.manifest`).
        revision: Commit of the checkpoint on the hub it came from; empty for a folder.
        target: What runs the networks: embedded, onnxruntime, torch or tensorrt.
        precision: Of denoiser and text encoder: fp32 or bf16.
    """

    name: str
    fingerprint: str
    width: int
    height: int
    default_steps: int
    latent_shape: tuple[int, int, int]
    noise_version: str
    triton_version: str
    calibration: Mapping[str, Any] | None = None
    sizes: tuple[tuple[int, int], ...] = ()
    # Searches that were begun before these were recorded have none.
    max_pictures: int = MAX_CONDITIONING_PICTURES
    build: str = ""
    revision: str = ""
    target: str = ""
    precision: str = ""

    def __post_init__(self) -> None:
        if not self.sizes:
            object.__setattr__(self, "sizes", ((self.width, self.height),))

    def latent_shape_of(self, size: tuple[int, int]) -> tuple[int, int, int]:
        """Give channels, height and width of the noise of pictures of a width and height."""
        channels, _, columns = self.latent_shape
        pixels = self.width // columns
        return channels, size[1] // pixels, size[0] // pixels

    @property
    def in_words(self) -> str:
        """For logs: the checkpoint, and the networks that were made of it."""
        revision = f", revision {self.revision}" if self.revision else ""
        return f"{self.name}@{self.fingerprint}{revision}: build {self.build}, {self.target} in {self.precision}"


Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels; the last two are exclusive."""


@dataclass(frozen=True)
class Prior:
    """The identity prior: the scene with the character's face in it.

    Args:
        picture: ``uint8 [H, W, 3]``, of the scene's size.
        embedding: ``float32 [512]``, unit norm: the identity that was put in.
        scene_box: Face replaced, xyxy in pixels of the scene.
        character_box: Face taken, xyxy in pixels of the character picture.
    """

    picture: UInt8
    embedding: Float32
    scene_box: tuple[float, float, float, float]
    character_box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Faces:
    """Faces of N pictures, largest first; rows beyond a picture's count mean nothing.

    Args:
        counts: ``int32 [N]``, at most 8.
        boxes: ``float32 [N, 8, 4]``, xyxy in pixels.
        landmarks: ``float32 [N, 8, 5, 2]``, xy in pixels.
        detection_scores: ``float32 [N, 8]``.
        embeddings: ``float32 [N, 8, 512]``, unit norm.
    """

    counts: npt.NDArray[np.int32]
    boxes: Float32
    landmarks: Float32
    detection_scores: Float32
    embeddings: Float32


@dataclass(frozen=True)
class VerifiedFaces:
    """Faces of N pictures, largest first, as the held-out verifier sees them.

    Args:
        counts: ``int32 [N]``, at most 8.
        embeddings: ``float32 [N, 8, F]``, unit norm; rows beyond a picture's count mean nothing.
    """

    counts: npt.NDArray[np.int32]
    embeddings: Float32


@dataclass(frozen=True)
class GenerateRequest:
    """One call of the sampler: N candidates that share everything but their noise.

    Args:
        pictures: ``uint8 [R, H, W, 3]``, the prior first, then references.
        prompt: What the edit shall do, not empty.
        seeds: ``uint32 [N, D]``, recipes side by side.
        coefficients: ``float32 [N, D]``, padded with 0.
        steps: Of the full schedule.
        start_step: First step to run; above 0 ``latents`` are needed.
        stop_step: First step not to run, at most ``steps``.
        negative_prompt: Not empty; takes effect where ``true_cfg_scale`` exceeds 1.
        true_cfg_scale: 1 means no guidance.
        scene: ``uint8 [H, W, 3]``; needed with ``edit_mask``.
        edit_mask: ``uint8 [H, W]``, 255 may change, 0 must not.
        latents: ``float32 [N, tokens, channels]`` of an earlier call that stopped at ``start_step``.
    """

    pictures: UInt8
    prompt: str
    seeds: npt.NDArray[np.uint32]
    coefficients: Float32
    steps: int
    stop_step: int
    start_step: int = 0
    negative_prompt: str | None = None
    true_cfg_scale: float = 1.0
    scene: UInt8 | None = None
    edit_mask: UInt8 | None = None
    latents: Float32 | None = None


@dataclass(frozen=True)
class Generated:
    """What the sampler made, in the order of the request's recipes.

    Args:
        pictures: ``uint8 [N, H, W, 3]``.
        latents: ``float32 [N, tokens, channels]``, packed, at the stop step.
    """

    pictures: UInt8
    latents: Float32

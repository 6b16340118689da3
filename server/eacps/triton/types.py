"""Requests and results of the gateway."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eacps.arrays import Float32, UInt8
from eacps.tensors import MAX_CONDITIONING_PICTURES

DISTILLED = "distilled"
"""Guidance of a checkpoint that no negative prompt guides; `eacps.models.checkpoint_config.Guidance` has it, too."""


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
        sizes: Widths and heights of the pictures it makes, the default one first; empty if there is only one.
        max_pictures: Most conditioning pictures, the prior included.
        build: Digest of the networks as exported, all of which passed the parity gate (`eacps.manifest`).
        revision: Commit of the checkpoint on the hub it came from; empty for a folder.
        target: What runs the networks: embedded, onnxruntime, torch or tensorrt.
        precision: Of denoiser, text encoder and judge: fp32 or bf16.
        face_swap: Whether a face swapper is served, and with it `face_prior`.
        backbone: Family of diffusion models that the checkpoint belongs to.
        guidance: How it heeds a negative prompt: true_cfg, or distilled, which takes none.
        judge: Whether a network of the backbone answers questions about pictures, and with it `vlm_judge`.
        own_judge: Whether that network is a judge that the checkpoint brings.
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
    face_swap: bool = True
    backbone: str = ""
    guidance: str = "true_cfg"
    judge: bool = True
    own_judge: bool = False

    def __post_init__(self) -> None:
        if not self.sizes:
            object.__setattr__(self, "sizes", ((self.width, self.height),))

    def latent_shape_of(self, size: tuple[int, int]) -> tuple[int, int, int]:
        """Return channels, height and width of the noise of pictures of a width and height."""
        channels, _, columns = self.latent_shape
        pixels = self.width // columns
        return channels, size[1] // pixels, size[0] // pixels

    @property
    def negative_prompts(self) -> bool:
        """Whether negative prompts guide it."""
        return self.guidance != DISTILLED

    @property
    def in_words(self) -> str:
        """For logs: the checkpoint, and the networks that were made of it."""
        revision = f", revision {self.revision}" if self.revision else ""
        made = f"build {self.build} of {self.backbone}, {self.target} in {self.precision}"
        lacking = ("" if self.face_swap else ", no face swapper") + ("" if self.judge else ", no judge")
        judge = ", with a judge of its own" if self.own_judge else ""
        return f"{self.name}@{self.fingerprint}{revision}: {made}{judge}{lacking}"


@dataclass(frozen=True)
class GenerateRequest:
    """One call of the sampler: N candidates that share everything but their noise.

    Args:
        pictures: ``uint8 [R, H, W, 3]``, the prior first, then references.
        prompt: What the edit should do, not empty.
        seeds: ``uint32 [N, D]``, recipes side by side.
        coefficients: ``float32 [N, D]``, padded with 0.
        steps: Of the full schedule.
        start_step: First step to run; above 0 finished pictures are noised to its level, each with its candidate's
            noise.
        negative_prompt: Not empty; takes effect where ``true_cfg_scale`` exceeds 1.
        true_cfg_scale: 1 means no guidance.
        scene: ``uint8 [H, W, 3]``; needed with ``edit_mask``.
        edit_mask: ``uint8 [H, W]``, 255 may change, 0 must not.
        latents: ``float32 [N, tokens, channels]`` of those pictures; needed where ``start_step`` is above 0.
    """

    pictures: UInt8
    prompt: str
    seeds: npt.NDArray[np.uint32]
    coefficients: Float32
    steps: int
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
        latents: ``float32 [N, tokens, channels]``, packed.
    """

    pictures: UInt8
    latents: Float32

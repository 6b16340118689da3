"""A loaded checkpoint as the models of a repository: which networks, which assets, which settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from diffusers import QwenImageEditPlusPipeline

from eacps.models.faces.program import EMAP_FILE
from eacps.models.facts import ASSETS_FOLDER
from eacps.models.noise import NOISE_VERSION
from eacps.tensors import (
    DENOISER,
    FACE_DETECTOR,
    FACE_EMBED,
    FACE_PRIOR,
    FACE_RECOGNIZER,
    FACE_SWAPPER,
    FACE_VERIFIER,
    FACE_VERIFY,
    MODELS,
    QWEN_EDIT,
    TEXT_ENCODER,
    VAE_DECODER,
    VAE_ENCODER,
    VLM_JUDGE,
    Kind,
    ModelSpec,
)
from export.assets import read_facts, write_judge_head, write_program_assets
from export.checkpoint import SETTINGS_FILE, CheckpointSettings
from export.config import ConfigDetails
from export.networks.denoiser import DenoiserNetwork
from export.networks.faces import (
    DETECTOR_FILE,
    PACK_FILES,
    RECOGNIZER_FILE,
    SWAPPER_FILE,
    VERIFIER_FILE,
    face_networks,
    read_emap,
)
from export.networks.network import Network
from export.networks.text_encoder import TextEncoderNetwork, VisionGrid
from export.networks.vae import VaeDecoderNetwork, VaeEncoderNetwork

PIPELINE_PARTS = ("model_index.json", "transformer", "vae", "text_encoder", "processor", "scheduler")
# Text tokens of the warm-up request, about as many as an edit has.
WARMUP_TOKENS = 64

CALIBRATION_FILE = "calibration.json"

Shapes = dict[str, tuple[int, ...]]


class IncompleteCheckpoint(Exception):
    """Parts of the checkpoint are missing; the message names all of them."""


def check_complete(checkpoint: Path) -> CheckpointSettings:
    """Return the checkpoint's settings.

    Raises:
        IncompleteCheckpoint: Parts are missing, or the settings are not readable.
    """
    if not checkpoint.is_dir():
        raise IncompleteCheckpoint(f"there is no checkpoint at {checkpoint}")
    try:
        settings = CheckpointSettings.read(checkpoint)
    except (TypeError, ValueError) as error:
        raise IncompleteCheckpoint(f"{checkpoint / SETTINGS_FILE} cannot be read: {error}") from error
    missing = [part for part in PIPELINE_PARTS if not (checkpoint / part).exists()]
    if settings.face_pack is None:
        missing.append(f'a face pack ({SETTINGS_FILE} must name its folder as "face_pack")')
    else:
        files = (f"{settings.face_pack}/{file}" for file in PACK_FILES)
        missing += [file for file in files if not (checkpoint / file).exists()]
    if missing:
        raise IncompleteCheckpoint(f"{checkpoint} lacks {', '.join(missing)}")
    return settings


class LoadedCheckpoint:
    """A complete checkpoint in memory.

    Args:
        checkpoint: Its folder.
        settings: What it says of itself.
        pipeline: Its parts.
        digest: Of all its files.

    Raises:
        UnsupportedCheckpoint: The sampler cannot do what it asks for.
    """

    def __init__(
        self, checkpoint: Path, settings: CheckpointSettings, pipeline: QwenImageEditPlusPipeline, digest: str
    ) -> None:
        self.checkpoint, self.settings, self.pipeline = checkpoint, settings, pipeline
        self.pack = checkpoint / str(settings.face_pack)
        self.facts = read_facts(pipeline, settings, digest)
        self.grid = VisionGrid(*self.facts.vision.grids[0])

    def programs(self) -> list[ModelSpec]:
        """Return the programs that the checkpoint's networks suffice for."""
        programs = [spec for spec in MODELS.values() if spec.kind is Kind.PROGRAM]
        has_verifier = (self.pack / VERIFIER_FILE).exists()
        return [spec for spec in programs if spec is not FACE_VERIFY or has_verifier]

    def networks(self) -> Iterator[Network]:
        """Yield the leaf networks, the cheapest first, so that most failures come early."""
        yield from face_networks(self.pack)
        yield VaeDecoderNetwork(self.pipeline.vae)
        yield VaeEncoderNetwork(self.pipeline.vae)
        yield TextEncoderNetwork(self.pipeline.text_encoder, self.grid)
        yield DenoiserNetwork(self.pipeline.transformer)

    def origin(self, spec: ModelSpec) -> tuple[list[Path], str]:
        """Return the parts of the checkpoint that a network depends on, and what else decides its graph."""
        root = self.checkpoint
        parts = {
            FACE_DETECTOR.name: self.pack / DETECTOR_FILE,
            FACE_RECOGNIZER.name: self.pack / RECOGNIZER_FILE,
            FACE_SWAPPER.name: self.pack / SWAPPER_FILE,
            FACE_VERIFIER.name: self.pack / VERIFIER_FILE,
            VAE_DECODER.name: root / "vae",
            VAE_ENCODER.name: root / "vae",
            TEXT_ENCODER.name: root / "text_encoder",
            DENOISER.name: root / "transformer",
        }
        return [parts[spec.name]], str(self.grid) if spec is TEXT_ENCODER else ""

    def write_assets(self, spec: ModelSpec, version: Path) -> None:
        """Write what a program needs besides its code into its version folder."""
        if spec in (QWEN_EDIT, VLM_JUDGE):
            write_program_assets(version / ASSETS_FOLDER, self.pipeline, self.facts)
        if spec is VLM_JUDGE:
            write_judge_head(version / ASSETS_FOLDER, self.pipeline)
        if spec is FACE_PRIOR:
            np.save(version / EMAP_FILE, read_emap(self.pack))

    def config_details(self, spec: ModelSpec) -> ConfigDetails:
        """Return what the checkpoint adds to a model's configuration."""
        side = self.settings.face_detection_size
        parameters = {"detection_size": str(side)} if spec in (FACE_EMBED, FACE_VERIFY, FACE_PRIOR) else {}
        if spec is QWEN_EDIT:
            parameters = self._served_parameters()
        return ConfigDetails(parameters, self._warmup_shapes().get(spec.name, {}))

    def _served_parameters(self) -> dict[str, str]:
        """Return what the search server reads off the sampler's configuration; see eacps.triton.served."""
        side = self._picture_side()
        cells = side // self.facts.vae_scale
        measured = self.checkpoint / CALIBRATION_FILE
        calibration = {"calibration": _compact_json(measured)} if measured.exists() else {}
        return calibration | {
            "checkpoint": self.facts.name,
            "fingerprint": self.facts.version,
            "width": str(side),
            "height": str(side),
            "default_steps": str(self.facts.default_steps),
            "latent_shape": f"{self.facts.latent_depth},{cells},{cells}",
            "noise_version": NOISE_VERSION,
        }

    def _picture_side(self) -> int:
        """Return the side in pixels of a square picture of the checkpoint's area."""
        multiple = self.facts.size_multiple
        return round(self.facts.vae_image_area**0.5) // multiple * multiple

    def _warmup_shapes(self) -> dict[str, Shapes]:
        """Return the shapes of one ordinary request to every network."""
        facts = self.facts
        side = self._picture_side()
        cells = side // facts.vae_scale
        detection = self.settings.face_detection_size
        return {
            DENOISER.name: self._denoiser_shapes(pictures=2, picture_tokens=(cells // 2) ** 2),
            TEXT_ENCODER.name: self._text_encoder_shapes(),
            VAE_ENCODER.name: {"picture": (3, side, side)},
            VAE_DECODER.name: {"latents": (facts.latent_depth, cells, cells)},
            FACE_DETECTOR.name: {"input": (1, 3, detection, detection)},
            FACE_RECOGNIZER.name: {"input": (3, 112, 112)},
            FACE_VERIFIER.name: {"input": (3, 112, 112)},
            FACE_SWAPPER.name: {"target": (1, 3, 128, 128), "source": (1, 512)},
        }

    def _denoiser_shapes(self, *, pictures: int, picture_tokens: int) -> Shapes:
        tokens, pairs = pictures * picture_tokens, sum(self.facts.rope_axes) // 2
        return {
            "hidden_states": (tokens, self.facts.packed_channels),
            "encoder_hidden_states": (WARMUP_TOKENS, self.pipeline.transformer.config.joint_attention_dim),
            "encoder_hidden_states_mask": (WARMUP_TOKENS,),
            "timestep": (1,),
            "img_rope": (tokens, pairs, 2),
            "txt_rope": (WARMUP_TOKENS, pairs, 2),
            "modulate_index": (tokens,),
        }

    def _text_encoder_shapes(self) -> Shapes:
        vision = self.facts.vision
        values = 3 * vision.temporal_patch_size * vision.patch_size**2
        return {
            "pixel_values": (1, self.grid.height * self.grid.width, values),
            "input_ids": (WARMUP_TOKENS,),
            "attention_mask": (WARMUP_TOKENS,),
            "position_ids": (3, WARMUP_TOKENS),
            "image_index": (WARMUP_TOKENS,),
        }


def _compact_json(path: Path) -> str:
    return json.dumps(json.loads(path.read_text(encoding="utf-8")), separators=(",", ":"))

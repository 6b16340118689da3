"""A checkpoint as the models of a repository: which networks, which assets, which settings.

Weights are loaded one network at a time, when its turn comes: together they may be larger than this machine's memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from eacps.models.faces.program import EMAP_FILE
from eacps.models.facts import ASSETS_FOLDER, ServedShapes, UnsupportedCheckpoint
from eacps.models.noise import NOISE_VERSION
from eacps.models.preprocessing import condition_grid
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
from export.assets import read_facts, vision_facts, write_judge_head, write_program_assets
from export.buckets import Size, buckets_for
from export.case_shapes import CaseShapes
from export.checkpoint import (
    MODEL_INDEX,
    SETTINGS_FILE,
    CheckpointSettings,
    load_skeleton,
    load_text_encoder,
    load_transformer,
    load_vae,
    max_pictures,
)
from export.config import ConfigDetails
from export.face_pack import FaceFiles, find_faces
from export.job import CODE_BESIDE, NetworkJob
from export.lora import Lora, schedule_named, scheduler_with
from export.networks.denoiser import DenoiserNetwork
from export.networks.faces import FaceNetwork, face_network, read_emap
from export.networks.network import Network
from export.networks.text_encoder import TextEncoderNetwork
from export.networks.vae import VaeDecoderNetwork, VaeEncoderNetwork
from export.precision import Precision
from export.profiles import Profile, ProfileMaker
from export.request import Ingredients, InvalidOption
from export.targets import TARGETS, Target, TargetUnavailable

PIPELINE_PARTS = (MODEL_INDEX, "transformer", "vae", "text_encoder", "processor", "scheduler")
CALIBRATION_FILE = "calibration.json"


class IncompleteCheckpoint(Exception):
    """Parts of the checkpoint are missing; the message names all of them."""


class PreparedCheckpoint:
    """A complete checkpoint and what is added to it, its weights not yet loaded.

    Args:
        ingredients: Where everything lies.

    Raises:
        IncompleteCheckpoint, IncompleteFacePack: Parts are missing, or the settings are not readable.
        UnsupportedCheckpoint: The sampler cannot do what it asks for.
        InvalidOption: An option is out of range.
    """

    def __init__(self, ingredients: Ingredients) -> None:
        self.ingredients, request = ingredients, ingredients.request
        self.folder = ingredients.source.folder
        self.target: Target = TARGETS[request.target]
        self.device = _device_of(self.target)
        self.precision = Precision(request.precision) if request.precision else self.target.precision
        if self.precision not in self.target.precisions:
            raise InvalidOption(f"target {self.target.name} cannot serve {self.precision}")
        self.settings, self.faces = _settings_of(ingredients), _faces_of(ingredients)
        self.lora = Lora(ingredients.lora, request.lora_scale) if ingredients.lora else None
        self.additions = ingredients.additions()
        pipeline = load_skeleton(self.folder)
        if request.schedule is not None:
            pipeline.scheduler = scheduler_with(schedule_named(request.schedule))
        self.pipeline = pipeline
        side = round(self.settings.vae_image_area**0.5)
        multiple = 2 * pipeline.vae_scale_factor
        self.buckets = buckets_for(
            side // multiple * multiple,
            max_pictures(self.folder),
            sizes=request.sizes,
            pictures=request.pictures,
            batch=request.batch,
            picture_tokens=self._picture_tokens,
        )
        self._check_sizes(multiple)
        shapes = ServedShapes(
            self.buckets.sizes, self.buckets.texts, self.buckets.max_batch, fixed=self.target.fixed_shapes
        )
        self.facts = read_facts(pipeline, self.settings, self.fingerprint(), shapes)
        text_channels = pipeline.transformer.config.joint_attention_dim
        self.shapes = ProfileMaker(self.facts, self.buckets, text_channels, self.faces.detection_size)
        self.cases = CaseShapes(self.shapes, fixed=self.target.fixed_shapes)

    def fingerprint(self) -> str:
        """Digest of all that decides the pictures, but for rounding: the checkpoint's own where nothing is added."""
        digest = self.ingredients.checkpoint_sha256
        if not self.additions and self.precision is Precision.FP32:
            return digest
        added = json.dumps([digest, dict(sorted(self.additions.items())), self.precision])
        return hashlib.sha256(added.encode()).hexdigest()

    def programs(self) -> list[ModelSpec]:
        """Return the programs that the checkpoint's networks suffice for."""
        programs = [spec for spec in MODELS.values() if spec.kind is Kind.PROGRAM]
        return [spec for spec in programs if spec is not FACE_VERIFY or self.faces.verifier]

    def jobs(self) -> list[NetworkJob]:
        """Return the leaf networks, the cheapest first, so that most failures come early."""
        return [
            *self._face_jobs(),
            self._job(
                VAE_DECODER,
                VaeDecoderNetwork,
                "vae",
                lambda: VaeDecoderNetwork(load_vae(self.folder), self.cases.vae(VAE_DECODER)),
            ),
            self._job(
                VAE_ENCODER,
                VaeEncoderNetwork,
                "vae",
                lambda: VaeEncoderNetwork(load_vae(self.folder), self.cases.vae(VAE_ENCODER)),
            ),
            self._job(TEXT_ENCODER, TextEncoderNetwork, "text_encoder", self._load_text_encoder),
            self._job(DENOISER, DenoiserNetwork, "transformer", self._load_denoiser),
        ]

    def write_assets(self, spec: ModelSpec, version: Path) -> None:
        """Write what a program needs besides its code into its version folder."""
        if spec in (QWEN_EDIT, VLM_JUDGE):
            write_program_assets(version / ASSETS_FOLDER, self.pipeline, self.facts)
        if spec is VLM_JUDGE:
            write_judge_head(version / ASSETS_FOLDER, self.folder, self.pipeline.tokenizer)
        if spec is FACE_PRIOR:
            np.save(version / EMAP_FILE, read_emap(self.faces.swapper))

    def config_details(self, spec: ModelSpec) -> ConfigDetails:
        """Return what the checkpoint adds to a model's configuration."""
        side = self.faces.detection_size
        parameters = {"detection_size": str(side)} if spec in (FACE_EMBED, FACE_VERIFY, FACE_PRIOR) else {}
        if spec is QWEN_EDIT:
            parameters = self._served_parameters()
        bounded = spec in (DENOISER, TEXT_ENCODER, VAE_ENCODER, VAE_DECODER)
        return ConfigDetails(
            parameters,
            self.shapes.warmup(spec),
            self.buckets.max_batch if bounded else None,
            len(self._profiles(spec)) if spec.kind is Kind.NETWORK else 0,
        )

    def _picture_tokens(self, size: Size) -> int:
        """Tokens of text that a conditioning picture of a size takes."""
        vision = vision_facts(self.pipeline)
        rows, columns = condition_grid(size[1], size[0], self.settings.condition_image_area, vision)
        return rows * columns // vision.merge_size**2

    def _check_sizes(self, multiple: int) -> None:
        odd = [size for size in self.buckets.sizes if any(side <= 0 or side % multiple for side in size)]
        if odd:
            raise InvalidOption(f"sizes must be multiples of {multiple}: {', '.join(f'{w}x{h}' for w, h in odd)}")

    def _face_jobs(self) -> list[NetworkJob]:
        sources = {
            FACE_DETECTOR: self.faces.detector,
            FACE_RECOGNIZER: self.faces.recognizer,
            FACE_SWAPPER: self.faces.swapper,
            FACE_VERIFIER: self.faces.verifier,
        }
        return [
            NetworkJob(
                spec,
                FaceNetwork,
                Precision.FP32,
                source.stat().st_size // 4,
                0,
                (source,),
                self._decided_by(spec),
                self.target.code,
                self._profiles(spec),
                lambda spec=spec: face_network(spec, self.faces, fixed=self.target.fixed_shapes),  # type: ignore[misc]
            )
            for spec, source in sources.items()
            if source is not None
        ]

    def _job(self, spec: ModelSpec, network: type[Network], part: str, load: Callable[[], Network]) -> NetworkJob:
        module = getattr(self.pipeline, part)
        files = [self.folder / part]
        if spec is DENOISER and self.lora is not None:
            files.append(self.lora.file)
        # The autoencoder is a small share of the work, and the last to touch the picture: it stays in FP32.
        precision = self.precision if spec in (DENOISER, TEXT_ENCODER) else Precision.FP32
        return NetworkJob(
            spec,
            network,
            precision,
            sum(weight.numel() for weight in module.parameters()),
            self.cases.denoiser_tokens() if spec is DENOISER else 0,
            tuple(files),
            (*self._decided_by(spec), precision, str(self.additions.get("lora")) if spec is DENOISER else ""),
            (*self.target.code, *CODE_BESIDE.get(spec.name, ())),
            self._profiles(spec),
            load,
        )

    def _decided_by(self, spec: ModelSpec) -> tuple[str, ...]:
        shapes = repr(self._profiles(spec))
        vision = repr(self.facts.vision) if spec is TEXT_ENCODER else ""
        return self.target.name, self.device, shapes, vision

    def _profiles(self, spec: ModelSpec) -> tuple[Profile, ...]:
        return tuple(self.shapes.profiles(spec)) if self.target.fixed_shapes else ()

    def _load_denoiser(self) -> Network:
        transformer = load_transformer(self.folder)
        if self.lora is not None:
            self.lora.fuse_into(transformer)
        return DenoiserNetwork(transformer, self.cases.denoiser())

    def _load_text_encoder(self) -> Network:
        return TextEncoderNetwork(load_text_encoder(self.folder), self.facts.vision, self.cases.text_encoder())

    def _served_parameters(self) -> dict[str, str]:
        """Return what the search server reads off the sampler's configuration; see eacps.triton.served."""
        width, height = self.buckets.sizes[0]
        scale = self.facts.vae_scale
        measured = self.folder / CALIBRATION_FILE
        calibration = {"calibration": _compact_json(measured)} if measured.exists() else {}
        return calibration | {
            "checkpoint": self.facts.name,
            "fingerprint": self.facts.version,
            "width": str(width),
            "height": str(height),
            "sizes": ",".join(f"{wide}x{high}" for wide, high in self.buckets.sizes),
            "max_pictures": str(self.buckets.max_pictures),
            "default_steps": str(self.facts.default_steps),
            "latent_shape": f"{self.facts.latent_depth},{height // scale},{width // scale}",
            "noise_version": NOISE_VERSION,
            "revision": self.ingredients.source.revision,
            "target": self.target.name,
            "precision": self.precision,
        }


def _device_of(target: Target) -> str:
    """What engines will be tied to; empty where this machine cannot build them, which the export itself refuses."""
    try:
        return target.check()
    except TargetUnavailable:
        return ""


def _settings_of(ingredients: Ingredients) -> CheckpointSettings:
    folder, request = ingredients.source.folder, ingredients.request
    missing = [part for part in PIPELINE_PARTS if not (folder / part).exists()]
    if missing:
        raise IncompleteCheckpoint(f"{folder} lacks {', '.join(missing)}")
    try:
        settings = CheckpointSettings.read(folder, ingredients.source.name)
    except UnsupportedCheckpoint:
        raise
    except (TypeError, ValueError) as error:
        raise IncompleteCheckpoint(f"{folder / SETTINGS_FILE} cannot be read: {error}") from error
    return settings if request.steps is None else replace(settings, default_steps=request.steps)


def _faces_of(ingredients: Ingredients) -> FaceFiles:
    folder, settings = ingredients.source.folder, CheckpointSettings.read(ingredients.source.folder)
    files = {"swapper": ingredients.swapper, "verifier": ingredients.verifier}
    if ingredients.faces is not None:
        return find_faces(ingredients.faces, **files)
    if settings.face_pack is None or not (folder / settings.face_pack).is_dir():
        raise IncompleteCheckpoint(f"{folder} has no face pack: name one with --faces, and its --swapper")
    return find_faces(folder / settings.face_pack, **files, detection_size=settings.face_detection_size)


def _compact_json(path: Path) -> str:
    return json.dumps(json.loads(path.read_text(encoding="utf-8")), separators=(",", ":"))

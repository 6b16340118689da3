"""A checkpoint and what is added to it, read and checked; its weights are not loaded yet.

An export goes this way: what is asked for (`export.request`), where that lies (`export.sources`), what it is (here),
the networks to be made of it (`export.jobs`), how they and the programs are served (`export.serving`), what that takes
(`export.plan`), the folder in which it is made (`export.staging`), the repository (`export.repository`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from eacps.licenses import License
from eacps.models.backbones import networks_of
from eacps.models.checkpoint_config import CheckpointConfig, ServedShapes
from eacps.tensors import ModelSpec
from export.backbones.backbone import BackboneExporter
from export.buckets import Buckets
from export.calibration import BelongingCalibration, calibration_for
from export.checkpoint import CheckpointSettings, IncompleteCheckpoint
from export.configuration import check_parts, read_pipeline, read_settings
from export.face_pack import FaceFiles, find_faces
from export.licenses import licenses_of
from export.lora import Lora
from export.precision import Precision
from export.profiles import Profile, ProfileMaker
from export.request import ExportRequest, Ingredients, InvalidOption
from export.targets import TARGETS, Target, TargetUnavailable
from export.weights import check_configurations


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedCheckpoint:
    """What `prepare` read.

    Args:
        ingredients: Where everything lies.
        backbone: Exports checkpoints of its kind.
        target: What runs the networks.
        device: What engines will be tied to; empty for none, and where this machine cannot build for the target.
        precision: Of denoiser, text encoder and judge.
        settings: What the checkpoint says of itself.
        faces: Files of the face pack.
        lora: To be fused into the denoiser; None for none.
        additions: What is added to the checkpoint, by name, each with its digest.
        pipeline: diffusers' pipeline without weights, on torch's ``meta`` device.
        config: What the programs in Triton need to know of the checkpoint.
        shapes: Of all networks, for the buckets that are served.
    """

    ingredients: Ingredients
    backbone: BackboneExporter[Any, Any]
    target: Target
    device: str
    precision: Precision
    settings: CheckpointSettings
    faces: FaceFiles
    lora: Lora | None
    additions: Mapping[str, str]
    pipeline: Any
    config: CheckpointConfig
    shapes: ProfileMaker

    @property
    def buckets(self) -> Buckets:
        """Shapes that are served."""
        return self.shapes.buckets

    def profiles(self, spec: ModelSpec) -> tuple[Profile, ...]:
        """Return the shapes that a network is built for; none where it takes any."""
        return tuple(self.shapes.profiles(spec)) if self.target.fixed_shapes else ()

    @property
    def networks(self) -> list[str]:
        """Names of the networks that are made of the checkpoint's parts."""
        specs, parts = networks_of(self.config.backbone), self.backbone.parts_of(self.ingredients.source.folder)
        return [name for name, spec in specs.items() if not spec.optional or name in parts]

    @cached_property
    def calibration(self) -> BelongingCalibration:
        """What scores mean on these networks. Reads all weights, once; raises as `calibration_for` does."""
        return calibration_for(self.ingredients, self.faces)

    @cached_property
    def licenses(self) -> dict[str, License]:
        """Of every network, and of a LoRA. Reads the face pack, once; raises as `licenses_of` does."""
        return licenses_of(self.ingredients, self.faces, self.networks)


def prepare(ingredients: Ingredients) -> PreparedCheckpoint:
    """Read everything but the weights, and check it.

    Args:
        ingredients: Where everything lies.

    Raises:
        IncompleteCheckpoint, IncompleteFacePack: Parts are missing, or the settings are not readable.
        UnsupportedFacePack: A file of the face pack cannot be read.
        UnsupportedCheckpoint: The sampler cannot do what it asks for.
        UnusableWeights: A part is of another class than is served, or quantized.
        InvalidOption: An option is out of range.
    """
    request, target = ingredients.request, TARGETS[ingredients.request.target]
    precision, folder = _precision_of(request, target), ingredients.source.folder
    backbone = check_parts(folder)
    settings = read_settings(ingredients, backbone)
    faces = _faces_of(ingredients, settings)
    check_configurations(folder, backbone.parts_of(folder))
    pipeline = read_pipeline(ingredients, backbone)
    buckets = backbone.buckets(folder, settings, pipeline, request)
    served = ServedShapes(buckets.sizes, buckets.texts, buckets.max_batch, fixed=target.fixed_shapes)
    config = backbone.config(pipeline, settings, _fingerprint(ingredients, precision), served)
    return PreparedCheckpoint(
        ingredients=ingredients,
        backbone=backbone,
        target=target,
        device=_device_of(target),
        precision=precision,
        settings=settings,
        faces=faces,
        lora=_lora_of(ingredients, backbone),
        additions=ingredients.additions(),
        pipeline=pipeline,
        config=config,
        shapes=ProfileMaker(backbone.shapes(config, buckets, pipeline), faces.detection_size),
    )


def _lora_of(ingredients: Ingredients, backbone: BackboneExporter[Any, Any]) -> Lora | None:
    if ingredients.lora is None:
        return None
    if backbone.lora_loader is None:
        raise InvalidOption(f"--lora: nothing can be fused into checkpoints of {backbone.name}")
    return Lora(ingredients.lora, ingredients.request.lora_scale, backbone.lora_loader)


def _precision_of(request: ExportRequest, target: Target) -> Precision:
    precision = Precision(request.precision) if request.precision else target.precision
    if precision not in target.precisions:
        raise InvalidOption(f"target {target.name} cannot serve {precision}")
    return precision


def _faces_of(ingredients: Ingredients, settings: CheckpointSettings) -> FaceFiles:
    folder, pack, detection_size = ingredients.source.folder, ingredients.faces, None
    if pack is None:
        if settings.face_pack is None or not (folder / settings.face_pack).is_dir():
            raise IncompleteCheckpoint(f"{folder} has no face pack: name one with --faces")
        pack, detection_size = folder / settings.face_pack, settings.face_detection_size
    return find_faces(
        pack,
        swapper=ingredients.swapper,
        verifier=ingredients.verifier,
        detection_size=detection_size,
        without_swapper=ingredients.request.without_swapper,
    )


def _fingerprint(ingredients: Ingredients, precision: Precision) -> str:
    """Digest of all that decides the pictures, but for rounding: the checkpoint's own where nothing is added."""
    digest, additions = ingredients.checkpoint_sha256, ingredients.additions()
    if not additions and precision is Precision.FP32:
        return digest
    added = json.dumps([digest, dict(sorted(additions.items())), precision])
    return hashlib.sha256(added.encode()).hexdigest()


def _device_of(target: Target) -> str:
    """What engines will be tied to; empty where this machine cannot build them, which the export itself refuses."""
    try:
        return target.check()
    except TargetUnavailable:
        return ""

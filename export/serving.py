"""How the models of a checkpoint are served: which programs, with which configuration, and the files they read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from eacps.models.backbones import networks_of
from eacps.models.checkpoint_config import ASSETS_FOLDER, CONFIG_FILE
from eacps.models.faces.program import EMAP_FILE
from eacps.models.noise import NOISE_VERSION
from eacps.tensors import (
    BACKBONE_PARAMETER,
    FACE_EMBED,
    FACE_PRIOR,
    FACE_VERIFY,
    JUDGE_NETWORK,
    MODELS,
    SAMPLER,
    VLM_JUDGE,
    Kind,
    ModelSpec,
)
from export.config import ConfigDetails
from export.networks.faces import face_settings, read_emap
from export.prepared import PreparedCheckpoint


def programs_of(prepared: PreparedCheckpoint) -> list[ModelSpec]:
    """Return the programs that the checkpoint's networks suffice for."""
    served = {
        FACE_VERIFY: prepared.faces.verifier is not None,
        FACE_PRIOR: prepared.faces.swapper is not None,
        VLM_JUDGE: prepared.backbone.answers_questions,
    }
    return [spec for spec in MODELS.values() if spec.kind is Kind.PROGRAM and served.get(spec, True)]


def config_details(prepared: PreparedCheckpoint, spec: ModelSpec) -> ConfigDetails:
    """Return what the checkpoint adds to a model's configuration."""
    bounded = spec.name in networks_of(prepared.config.backbone)
    return ConfigDetails(
        parameters=_parameters(prepared, spec),
        warmup=prepared.shapes.warmup(spec),
        max_batch=prepared.buckets.max_batch if bounded else None,
        profiles=len(prepared.profiles(spec)) if spec.kind is Kind.NETWORK else 0,
    )


def write_assets(prepared: PreparedCheckpoint, spec: ModelSpec, version: Path) -> None:
    """Write the files that a program needs besides its code into its version folder."""
    if spec in (SAMPLER, VLM_JUDGE):
        assets = version / ASSETS_FOLDER
        assets.mkdir()
        (assets / CONFIG_FILE).write_text(prepared.config.to_json(), encoding="utf-8")
        prepared.backbone.write_assets(assets, prepared)
        if spec is VLM_JUDGE:
            prepared.backbone.write_judge_assets(assets, prepared)
    if spec is FACE_PRIOR and prepared.faces.swapper is not None:
        np.save(version / EMAP_FILE, read_emap(prepared.faces.swapper))


def _parameters(prepared: PreparedCheckpoint, spec: ModelSpec) -> dict[str, str]:
    """Return the parameters with which a model starts."""
    if spec.name in networks_of(prepared.config.backbone):
        return {BACKBONE_PARAMETER: prepared.config.backbone}
    if spec is SAMPLER:
        return _served_parameters(prepared)
    if spec in (FACE_EMBED, FACE_VERIFY):
        return face_settings(prepared.faces, fixed=prepared.target.fixed_shapes).to_parameters()
    return {}


def _served_parameters(prepared: PreparedCheckpoint) -> dict[str, str]:
    """Return what the search server reads off the sampler's configuration; see eacps.triton.served."""
    config, buckets = prepared.config, prepared.buckets
    width, height = buckets.sizes[0]
    known = prepared.calibration.data
    calibration = {"calibration": json.dumps(known, separators=(",", ":"))} if known else {}
    return calibration | {
        "checkpoint": config.name,
        BACKBONE_PARAMETER: config.backbone,
        "guidance": config.guidance,
        "judge": "true" if prepared.backbone.answers_questions else "false",
        "own_judge": "true" if JUDGE_NETWORK in prepared.networks else "false",
        "fingerprint": config.version,
        "width": str(width),
        "height": str(height),
        "sizes": ",".join(f"{wide}x{high}" for wide, high in buckets.sizes),
        "max_pictures": str(buckets.max_pictures),
        "face_swap": "true" if prepared.faces.swapper else "false",
        "default_steps": str(config.default_steps),
        "latent_shape": f"{config.latent_depth},{height // config.vae_scale},{width // config.vae_scale}",
        "noise_version": NOISE_VERSION,
        "revision": prepared.ingredients.source.revision,
        "target": prepared.target.name,
        "precision": prepared.precision,
    }

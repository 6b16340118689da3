"""The networks to be made of a checkpoint, each as a job: its weights are loaded only when its turn comes.

Together the weights may be larger than this machine's memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from eacps.manifest import digest_of
from eacps.tensors import (
    FACE_DETECTOR,
    FACE_RECOGNIZER,
    FACE_SWAPPER,
    FACE_VERIFIER,
    ModelSpec,
)
from export.face_pack import files_of
from export.networks.faces import FaceNetwork, face_network
from export.networks.network import Network, sources_of
from export.precision import Precision
from export.prepared import PreparedCheckpoint
from export.profiles import Profile
from export.provenance import versions

LORA_CODE = ("export.lora", "export.lora_file", "export.lora_header")
"""Modules that decide a network into which a LoRA may be fused."""


@dataclass(frozen=True, kw_only=True)
class NetworkJob:
    """One network to be made.

    Args:
        spec: Its contract.
        network: Class of the exporter.
        precision: In which it is to compute.
        weights: Numbers that it holds.
        case_tokens: Tokens, times batch, of its largest parity case; 0 where that is small.
        files: That it is made from.
        settings: What else decides it.
        code: Modules that decide it, beside those of all networks.
        profiles: Shapes that it is built for, where the target asks.
        load: Reads its weights.
    """

    spec: ModelSpec
    network: type[Network]
    precision: Precision
    weights: int
    case_tokens: int = 0
    files: tuple[Path, ...]
    settings: tuple[str, ...]
    code: tuple[str, ...]
    profiles: tuple[Profile, ...]
    load: Callable[[], Network]


def network_jobs(prepared: PreparedCheckpoint) -> list[NetworkJob]:
    """Return the jobs of a checkpoint, the cheapest first, so that most failures come early."""
    return [*_face_jobs(prepared), *prepared.backbone.jobs(prepared)]


def origin_of(job: NetworkJob) -> str:
    """Return the digest of all that a network depends on: weights, settings, code, packages."""
    code = sources_of(job.network, *job.code)
    packages = json.dumps(versions(), sort_keys=True)
    state = [repr(job.spec), *job.settings, digest_of(job.files), digest_of(code), packages]
    return hashlib.sha256("\n".join(state).encode()).hexdigest()


def _face_jobs(prepared: PreparedCheckpoint) -> Iterator[NetworkJob]:
    faces, fixed = prepared.faces, prepared.target.fixed_shapes
    sources = {
        FACE_DETECTOR: faces.detector,
        FACE_RECOGNIZER: faces.recognizer,
        FACE_SWAPPER: faces.swapper,
        FACE_VERIFIER: faces.verifier,
    }
    for spec, source in sources.items():
        if source is not None:
            files = files_of(source)
            yield NetworkJob(
                spec=spec,
                network=FaceNetwork,
                precision=Precision.FP32,
                weights=sum(file.stat().st_size for file in files) // 4,
                files=tuple(files),
                settings=_decided_by(prepared, spec),
                code=prepared.target.code,
                profiles=prepared.profiles(spec),
                load=lambda spec=spec: face_network(spec, faces, fixed=fixed),  # type: ignore[misc]
            )


def pipeline_job(
    prepared: PreparedCheckpoint,
    *,
    spec: ModelSpec,
    network: type[Network],
    part: str,
    precision: Precision,
    load: Callable[[], Network],
    case_tokens: int = 0,
    files: tuple[Path, ...] = (),
    settings: tuple[str, ...] = (),
    code: tuple[str, ...] = (),
) -> NetworkJob:
    """Return the job of a part of diffusers' pipeline, for a backbone.

    Args:
        prepared: The checkpoint.
        spec: Contract of the network.
        network: Class that exports it.
        part: Name of the pipeline's part that holds its weights, and of that part's folder.
        precision: In which it is to compute.
        load: Reads its weights.
        case_tokens: See `NetworkJob`.
        files, settings, code: What it depends on besides.
    """
    return NetworkJob(
        spec=spec,
        network=network,
        precision=precision,
        weights=sum(weight.numel() for weight in getattr(prepared.pipeline, part).parameters()),
        case_tokens=case_tokens,
        files=(prepared.ingredients.source.folder / part, *files),
        settings=(*_decided_by(prepared, spec), precision, *settings),
        code=(*prepared.target.code, *code),
        profiles=prepared.profiles(spec),
        load=load,
    )


def _decided_by(prepared: PreparedCheckpoint, spec: ModelSpec) -> tuple[str, ...]:
    return prepared.target.name, prepared.device, repr(prepared.profiles(spec))

"""One network to be exported, its weights not yet loaded, and the digest of all that it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from eacps.manifest import digest_of
from eacps.tensors import DENOISER, TEXT_ENCODER, ModelSpec
from export.networks.network import Network, sources_of
from export.precision import Precision
from export.profiles import Profile
from export.provenance import versions

# Modules that decide a network beside those of its class.
CODE_BESIDE = {DENOISER.name: ("export.lora",), TEXT_ENCODER.name: ("eacps.models.vision_tables",)}


@dataclass(frozen=True)
class NetworkJob:
    """One network to be exported.

    Args:
        spec: Its contract.
        network: Class of the exporter.
        precision: In which it shall compute.
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
    case_tokens: int
    files: tuple[Path, ...]
    settings: tuple[str, ...]
    code: tuple[str, ...]
    profiles: tuple[Profile, ...]
    load: Callable[[], Network]


def origin_of(job: NetworkJob) -> str:
    """Return the digest of all that a network depends on: weights, settings, code, packages."""
    code = sources_of(job.network, *job.code)
    packages = json.dumps(versions(), sort_keys=True)
    state = [repr(job.spec), *job.settings, digest_of(job.files), digest_of(code), packages]
    return hashlib.sha256("\n".join(state).encode()).hexdigest()

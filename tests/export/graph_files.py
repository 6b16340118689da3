"""Graphs beside those of the exported repositories: in BF16, and of miniatures of Edit-2509 and Edit-2511.

Each is exported once for all tests that look at it, and stays in ``.build`` until what it is made of changes.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

from eacps.manifest import digest_of
from eacps.models.onnx_network import NETWORK_FILE
from export.backbones.qwen_image_edit.denoiser import DenoiserNetwork
from export.jobs import NetworkJob, network_jobs, origin_of
from export.networks.network import TorchNetwork, sources_of
from export.precision import Precision
from export.prepared import prepare
from export.provenance import versions
from export.request import ExportRequest, gather
from studio_mini import architecture
from studio_mini.architecture import build_transformer
from tests.models import klein

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".build" / "graphs"

OF_2509, OF_2511 = "denoiser of 2509", "denoiser of 2511"
"""The two checkpoints differ in their denoiser alone, by ``zero_cond_t``."""
STUDIO_DENOISER, STUDIO_TEXT_ENCODER = "denoiser of studio-mini", "text encoder of studio-mini"
KLEIN_DENOISER, KLEIN_TEXT_ENCODER = "denoiser of klein-mini", "text encoder of klein-mini"

GRAPHS = {
    f"{name} in {precision}": (name, precision)
    for name, precisions in {
        OF_2509: list(Precision),
        OF_2511: list(Precision),
        # In FP32 they are in the repositories of the target embedded.
        STUDIO_DENOISER: [Precision.BF16],
        STUDIO_TEXT_ENCODER: [Precision.BF16],
        KLEIN_DENOISER: [Precision.BF16],
        KLEIN_TEXT_ENCODER: [Precision.BF16],
    }.items()
    for precision in precisions
}


@cache
def studio_jobs() -> dict[str, NetworkJob]:
    """Return studio-mini's networks by name, as the target TensorRT is given them."""
    return _jobs_of(ROOT / "studio_mini" / "checkpoint")


@cache
def klein_jobs() -> dict[str, NetworkJob]:
    """Return those of FLUX.2 klein's miniature."""
    return _jobs_of(klein.checkpoint())


def job_of(name: str) -> NetworkJob:
    """Return the job of the network that a graph of `GRAPHS` is of; for other checkpoints studio-mini's."""
    jobs = klein_jobs() if name in (KLEIN_DENOISER, KLEIN_TEXT_ENCODER) else studio_jobs()
    return jobs["text_encoder" if name in (STUDIO_TEXT_ENCODER, KLEIN_TEXT_ENCODER) else "denoiser"]


def _jobs_of(checkpoint: Path) -> dict[str, NetworkJob]:
    prepared = prepare(gather(ExportRequest(str(checkpoint), target="tensorrt")))
    return {job.spec.name: job for job in network_jobs(prepared)}


def graph_file(name: str, precision: Precision) -> Path:
    """Return a graph of `GRAPHS`, exported first where it has not been, or of other code."""
    load, made_of = _network(name)
    folder = FOLDER / f"{name} in {precision}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mark = folder / "made-of"
        if not mark.exists() or mark.read_text() != made_of:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            load().write_onnx(folder / NETWORK_FILE, precision)
            mark.write_text(made_of)
    return folder / NETWORK_FILE


def _network(name: str) -> tuple[Callable[[], TorchNetwork], str]:
    """Return what builds a network, and a digest of what decides its graph."""
    if name not in (OF_2509, OF_2511):
        job = job_of(name)
        return job.load, origin_of(job)  # type: ignore[return-value]
    files = [*sources_of(DenoiserNetwork), Path(architecture.__file__)]
    digest = digest_of(files) + repr(sorted(versions().items()))
    # Two layers: the last block is unlike the others.
    return lambda: DenoiserNetwork(build_transformer(zero_cond_t=name == OF_2511, layers=2)), digest

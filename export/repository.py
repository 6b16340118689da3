"""A complete Triton model repository out of a checkpoint, or none at all.

Everything is written into a hidden folder beside the output, which takes the output's place only when every network
has passed its parity gate.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import eacps
from eacps.models.faces.program import EMAP_FILE
from eacps.models.facts import ASSETS_FOLDER, CheckpointFacts
from eacps.tensors import (
    FACE_DETECTOR,
    FACE_EMBED,
    FACE_PRIOR,
    FACE_RECOGNIZER,
    FACE_SWAPPER,
    MODELS,
    QWEN_EDIT,
    VLM_JUDGE,
    Kind,
    ModelSpec,
)
from export.assets import read_facts, write_judge_head, write_program_assets
from export.checkpoint import CheckpointSettings, load_pipeline
from export.config import ConfigDetails, render_config
from export.networks.denoiser import DenoiserNetwork
from export.networks.faces import PACK_FILES, face_networks, read_emap
from export.networks.network import Network
from export.networks.text_encoder import TextEncoderNetwork, VisionGrid
from export.networks.vae import VaeDecoderNetwork, VaeEncoderNetwork
from export.parity import ParityFigure, check_parity
from export.targets import Target, copy_adapter

MANIFEST_FILE = "manifest.json"
VERSION = "1"
PIPELINE_PARTS = ("model_index.json", "transformer", "vae", "text_encoder", "processor", "scheduler")
RECORDED_PACKAGES = ("torch", "diffusers", "transformers", "onnx", "onnxruntime")

# Told what is being done, as it begins.
Progress = Callable[[str], None]


class IncompleteCheckpoint(Exception):
    """Parts of the checkpoint are missing; the message names all of them."""


class NotARepository(Exception):
    """The output exists and was not written by this exporter."""


def export_repository(checkpoint: Path, target: Target, output: Path, progress: Progress = lambda _: None) -> None:
    """Write the repository of ``checkpoint`` for ``target`` to the folder ``output``.

    An earlier repository there is replaced at the end, and stays as it is if the export fails.

    Raises:
        IncompleteCheckpoint: Before anything is written.
        NotARepository: ``output`` holds something else.
        ParityFailed: A network departs from its original.
        UnsupportedCheckpoint, UnsupportedFacePack: The contract cannot serve the checkpoint.
    """
    settings = check_complete(checkpoint)
    _check_replaceable(output)
    progress("load checkpoint")
    exporter = _Exporter(checkpoint, settings, target)
    with staged(output) as stage:
        figures: dict[str, list[ParityFigure]] = {}
        for network in exporter.networks():
            progress(f"export {network.spec.name}")
            figures[network.spec.name] = exporter.write_network(network, stage)
        progress("write programs")
        for spec in MODELS.values():
            if spec.kind is Kind.PROGRAM:
                exporter.write_program(spec, stage)
        _write_manifest(stage, exporter.facts, target, figures)


def check_complete(checkpoint: Path) -> CheckpointSettings:
    """Return the checkpoint's settings.

    Raises:
        IncompleteCheckpoint: Parts are missing.
    """
    if not checkpoint.is_dir():
        raise IncompleteCheckpoint(f"there is no checkpoint at {checkpoint}")
    settings = CheckpointSettings.read(checkpoint)
    missing = [part for part in PIPELINE_PARTS if not (checkpoint / part).exists()]
    if settings.face_pack is None:
        missing.append('a face pack (eacps.json must name its folder as "face_pack")')
    else:
        files = (f"{settings.face_pack}/{file}" for file in PACK_FILES)
        missing += [file for file in files if not (checkpoint / file).exists()]
    if missing:
        raise IncompleteCheckpoint(f"{checkpoint} lacks {', '.join(missing)}")
    return settings


class _Exporter:
    """A loaded checkpoint and how each of its models is written."""

    def __init__(self, checkpoint: Path, settings: CheckpointSettings, target: Target) -> None:
        self.target, self.settings = target, settings
        self.pack = checkpoint / str(settings.face_pack)
        self.pipeline = load_pipeline(checkpoint)
        self.facts = read_facts(self.pipeline, settings, digest_of(checkpoint))

    def networks(self) -> Iterator[Network]:
        """Yield the leaf networks, the cheapest first, so that most failures come early."""
        yield from face_networks(self.pack)
        yield VaeDecoderNetwork(self.pipeline.vae)
        yield VaeEncoderNetwork(self.pipeline.vae)
        yield TextEncoderNetwork(self.pipeline.text_encoder, VisionGrid(*self.facts.vision.grids[0]))
        yield DenoiserNetwork(self.pipeline.transformer)

    def write_network(self, network: Network, stage: Path) -> list[ParityFigure]:
        """Write one leaf model and hold it against its original."""
        version = self._model_folder(network.spec, stage)
        return check_parity(network, self.target.install(network, version))

    def write_program(self, spec: ModelSpec, stage: Path) -> None:
        """Write one program with its assets."""
        version = self._model_folder(spec, stage)
        copy_adapter(spec.name, version)
        if spec in (QWEN_EDIT, VLM_JUDGE):
            write_program_assets(version / ASSETS_FOLDER, self.pipeline, self.facts)
        if spec is VLM_JUDGE:
            write_judge_head(version / ASSETS_FOLDER, self.pipeline)
        if spec is FACE_PRIOR:
            np.save(version / EMAP_FILE, read_emap(self.pack))

    def _model_folder(self, spec: ModelSpec, stage: Path) -> Path:
        version = stage / spec.name / VERSION
        version.mkdir(parents=True)
        text = render_config(spec, self.target.network_backend, self._details(spec))
        (version.parent / "config.pbtxt").write_text(text, encoding="utf-8")
        return version

    def _details(self, spec: ModelSpec) -> ConfigDetails:
        side = self.settings.face_detection_size
        if spec in (FACE_EMBED, FACE_PRIOR):
            return ConfigDetails(parameters={"detection_size": str(side)})
        if spec is QWEN_EDIT:
            return ConfigDetails(parameters=self._served_parameters())
        return ConfigDetails(warmup=self._warmup_shapes().get(spec.name, {}))

    def _served_parameters(self) -> dict[str, str]:
        """Return what the search server asks of the sampler's configuration; see eacps.triton.served."""
        facts = self.facts
        side = self._picture_side()
        cells = side // facts.vae_scale
        return {
            "checkpoint": facts.name,
            "fingerprint": facts.version,
            "width": str(side),
            "height": str(side),
            "default_steps": str(facts.default_steps),
            "latent_shape": f"{facts.latent_depth},{cells},{cells}",
        }

    def _picture_side(self) -> int:
        """Return the side of the square that has the checkpoint's picture area."""
        facts = self.facts
        return round(facts.vae_image_area**0.5) // facts.size_multiple * facts.size_multiple

    def _warmup_shapes(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """Return the shapes of one ordinary request to every network."""
        facts, tokens = self.facts, 64
        side = self._picture_side()
        cells = side // facts.vae_scale
        latents, picture = (facts.latent_depth, cells, cells), (3, side, side)
        image_tokens, pairs = 2 * (cells // 2) ** 2, sum(facts.rope_axes) // 2
        vision = facts.vision
        patches = vision.grids[0][0] * vision.grids[0][1]
        return {
            "denoiser": {
                "hidden_states": (image_tokens, facts.packed_channels),
                "encoder_hidden_states": (tokens, self.pipeline.transformer.config.joint_attention_dim),
                "encoder_hidden_states_mask": (tokens,),
                "timestep": (1,),
                "img_rope": (image_tokens, pairs, 2),
                "txt_rope": (tokens, pairs, 2),
                "modulate_index": (image_tokens,),
            },
            "text_encoder": {
                "pixel_values": (1, patches, 3 * vision.temporal_patch_size * vision.patch_size**2),
                "input_ids": (tokens,),
                "attention_mask": (tokens,),
                "position_ids": (3, tokens),
                "image_index": (tokens,),
            },
            "vae_encoder": {"picture": picture},
            "vae_decoder": {"latents": latents},
            FACE_DETECTOR.name: {"input": (1, 3, *[self.settings.face_detection_size] * 2)},
            FACE_RECOGNIZER.name: {"input": (3, 112, 112)},
            FACE_SWAPPER.name: {"target": (1, 3, 128, 128), "source": (1, 512)},
        }


def digest_of(checkpoint: Path) -> str:
    """Return the SHA-256 of the names and contents of all files of ``checkpoint``."""
    total = hashlib.sha256()
    for path in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(checkpoint).as_posix()} {content}\n".encode())
    return total.hexdigest()


@contextmanager
def staged(output: Path) -> Iterator[Path]:
    """Give a folder to write into, which becomes ``output`` if the block ends well and vanishes if it does not."""
    output = output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    # Beside the output, not in the system's temporary folder: a rename must not cross file systems.
    work = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        stage = work / "new"
        stage.mkdir()
        yield stage
        _put_in_place(stage, output, work / "old")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _put_in_place(stage: Path, output: Path, aside: Path) -> None:
    if output.exists():
        output.rename(aside)
    try:
        stage.rename(output)
    except OSError:
        if aside.exists():
            aside.rename(output)
        raise


def _check_replaceable(output: Path) -> None:
    if not output.exists() or (output / MANIFEST_FILE).is_file():
        return
    if not output.is_dir() or any(output.iterdir()):
        raise NotARepository(f"{output} exists and is no exported repository; remove it or choose another folder")


def _write_manifest(
    stage: Path, facts: CheckpointFacts, target: Target, figures: dict[str, list[ParityFigure]]
) -> None:
    """Record what the repository was made of, with what, and how near it came."""
    versions = {package: importlib.metadata.version(package) for package in RECORDED_PACKAGES}
    manifest: dict[str, Any] = {
        "checkpoint": {"name": facts.name, "sha256": facts.version},
        "target": target.name,
        "versions": {"eacps": eacps.__version__, **versions},
        "models": {
            name: {"sha256": digest_of(stage / name), "parity": [asdict(figure) for figure in figures.get(name, [])]}
            for name in MODELS
        },
    }
    (stage / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")

"""A complete Triton model repository out of a checkpoint, or none at all.

Every network must pass its parity gate. Networks that were exported before are taken over where nothing that they
depend on has changed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from eacps.manifest import Manifest, ModelRecord, digest_of
from eacps.tensors import MODELS, QWEN_EDIT, ModelSpec
from export.config import ConfigDetails, render_config
from export.job import NetworkJob, origin_of
from export.models import PreparedCheckpoint
from export.parity import check_parity
from export.provenance import REPOSITORY_SOURCES, ROOT, sources_digest, versions
from export.targets import EMBEDDED
from export.targets.target import Bench, Watch
from export.workshop import ADAPTER_FILE, VERSION, Workshop, open_workshop

ADAPTERS = ROOT / "model_repository"
DEFAULT_CACHE = Path("~/.cache/eacps").expanduser()


@dataclass(frozen=True)
class Progress:
    """Who is told how far an export is.

    Args:
        step: Told what is being done, as it begins.
        phase: Told how far a part of that is.
    """

    step: Callable[[str], None] = lambda _: None
    phase: Watch = lambda _phase, _done, _total: None


SILENT = Progress()


def export_repository(
    prepared: PreparedCheckpoint, output: Path, progress: Progress = SILENT, cache: Path = DEFAULT_CACHE
) -> Manifest:
    """Write the repository of a checkpoint to the folder ``output``.

    An earlier repository there is replaced at the end, and stays as it is if the export fails.

    Args:
        prepared: The checkpoint.
        output: Folder.
        progress: Told how far it is.
        cache: Folder for what speeds up later builds of engines.

    Raises:
        InUse, NotARepository: ``output`` cannot be written to.
        ParityFailed: A network departs from its original.
        TargetUnavailable: This machine cannot build for the target.
        UnsupportedFacePack, UnusableLora: The contract cannot serve what was asked for.
    """
    prepared.target.check()
    with open_workshop(output) as workshop:
        manifest = _Exporter(prepared, workshop, cache).write_all(progress)
        workshop.deliver()
        return manifest


class _Exporter:
    """One export on its way."""

    def __init__(self, prepared: PreparedCheckpoint, workshop: Workshop, cache: Path) -> None:
        self.prepared, self.target, self.workshop, self.cache = prepared, prepared.target, workshop, cache

    def write_all(self, progress: Progress) -> Manifest:
        """Write networks, programs and manifest."""
        ingredients = self.prepared.ingredients
        networks = {job.spec.name: self._write_network(job, progress) for job in self.prepared.jobs()}
        manifest = Manifest(
            checkpoint=self.prepared.settings.name,
            revision=ingredients.source.revision,
            checkpoint_sha256=ingredients.checkpoint_sha256,
            additions=self.prepared.additions,
            target=self.target.name,
            device=self.prepared.device,
            request_sha256=ingredients.sha256(),
            sources_sha256=sources_digest(REPOSITORY_SOURCES),
            versions=versions(),
            models=networks,
        )
        progress.step("write programs")
        programs = {spec.name: self._write_program(spec, manifest.build) for spec in self.prepared.programs()}
        records = networks | programs
        manifest = replace(manifest, models={name: records[name] for name in MODELS if name in records})
        manifest.write(self.workshop.stage)
        return manifest

    def _write_network(self, job: NetworkJob, progress: Progress) -> ModelRecord:
        """Write a leaf model: taken over from an earlier export, or exported and held against its original."""
        name = job.spec.name
        origin, placement = origin_of(job), self.target.placement(job.network)
        version = self._version_folder(job.spec)
        found = self.workshop.finished.find(name, origin)
        if found is not None:
            progress.step(f"keep {name}")
            self.workshop.take_over(found[0], version)
            parity = found[1].parity
        else:
            progress.step(f"export {name}")
            with self.workshop.scratch_folder() as scratch:
                network = job.load()
                bench = Bench(version, scratch, self.cache, job.profiles, progress.phase)
                answers = self.target.install(network, job.precision, bench)
                parity = tuple(check_parity(network, answers, job.precision, self.target.tolerance))
        if placement.backend == "python":
            _copy_adapter(name, version)
        details = replace(self._details(job.spec), dims=self.target.dims(version))
        _write_config(version, render_config(job.spec, placement, details))
        record = ModelRecord(digest_of([self.workshop.stage / name]), origin, job.precision, parity)
        self.workshop.keep(name, record)
        return record

    def _write_program(self, spec: ModelSpec, build: str) -> ModelRecord:
        details = self._details(spec)
        if spec is QWEN_EDIT:
            # The sampler starts only beside the networks of this build; see eacps.manifest.verify.
            details = replace(details, parameters={**details.parameters, "build": build})
        version = self._version_folder(spec)
        _write_config(version, render_config(spec, EMBEDDED.where, details))
        _copy_adapter(spec.name, version)
        self.prepared.write_assets(spec, version)
        return ModelRecord(digest_of([self.workshop.stage / spec.name]))

    def _details(self, spec: ModelSpec) -> ConfigDetails:
        return self.prepared.config_details(spec)

    def _version_folder(self, spec: ModelSpec) -> Path:
        version = self.workshop.stage / spec.name / VERSION
        version.mkdir(parents=True)
        return version


def _write_config(version: Path, text: str) -> None:
    (version.parent / "config.pbtxt").write_text(text, encoding="utf-8")


def _copy_adapter(model: str, version: Path) -> None:
    shutil.copyfile(ADAPTERS / model / VERSION / ADAPTER_FILE, version / ADAPTER_FILE)

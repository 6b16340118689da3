"""Write a complete Triton model repository from a checkpoint, or none.

Every network must pass its parity gate. Networks of an earlier export are reused if nothing that they depend on has
changed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from eacps.manifest import Manifest, ModelRecord, digest_of, programs_digest
from eacps.tensors import BUILD_PARAMETER, ModelSpec
from export.config import render_config
from export.jobs import NetworkJob, network_jobs, origin_of
from export.making import NetworkBeside, make_network, network_beside
from export.prepared import PreparedCheckpoint
from export.provenance import REPOSITORY_SOURCES, ROOT, is_current, sources_digest, versions
from export.serving import config_details, programs_of, write_assets
from export.staging import ADAPTER_FILE, VERSION, StagingArea, alone_at, staged
from export.targets import EMBEDDED
from export.targets.target import Bench, Watch

ADAPTERS = ROOT / "model_repository"
BACKBONE_NETWORK = "backbone_network"
"""Folder of the adapter of all networks that a backbone names."""
DEFAULT_CACHE = Path("~/.cache/eacps").expanduser()


@dataclass(frozen=True)
class Progress:
    """Callbacks of an export.

    Args:
        step: Called with a description when a step begins.
        phase: Called with the progress of a part of a step.
        notice: Called with what the user should know at once.
    """

    step: Callable[[str], None] = lambda _: None
    phase: Watch = lambda _phase, _done, _total: None
    notice: Callable[[str], None] = lambda _: None


SILENT = Progress()


def export_repository(
    prepared: PreparedCheckpoint,
    output: Path,
    progress: Progress = SILENT,
    cache: Path = DEFAULT_CACHE,
    *,
    beside: bool = False,
    wait_s: float = 0.0,
) -> Manifest | None:
    """Write the repository of a checkpoint to the folder ``output``.

    An earlier repository there is replaced at the end, and stays as it is if the export fails.

    Args:
        prepared: The checkpoint.
        output: Folder.
        progress: Callbacks.
        cache: Folder for what speeds up later builds of engines.
        beside: Whether a second process may make the largest network beside the others, where there is room for both.
        wait_s: How long to wait for another export to the same output.

    Returns:
        What was written; None where another export had written the same while this one waited.

    Raises:
        InUse, NotARepository: ``output`` cannot be written to.
        ParityFailed: A network departs from its original.
        TargetUnavailable: This machine cannot build for the target.
        UnsupportedFacePack, UnusableLora: The contract cannot serve what was asked for.
    """
    prepared.target.check()
    waited: list[bool] = []

    def wait() -> None:
        waited.append(True)
        progress.notice(f"another export to {output} is under way; waiting for it, {wait_s:g} s at most")

    with alone_at(output, wait_s=wait_s, on_wait=wait) as resolved:
        if waited and is_current(resolved, prepared.ingredients.sha256()):
            return None
        with staged(resolved) as staging:
            manifest = _Exporter(prepared, staging, cache).write_all(progress, beside=beside)
            staging.deliver()
        return manifest


class _Exporter:
    """One export."""

    def __init__(self, prepared: PreparedCheckpoint, staging: StagingArea, cache: Path) -> None:
        self.prepared, self.target, self.staging, self.cache = prepared, prepared.target, staging, cache

    def write_all(self, progress: Progress, *, beside: bool) -> Manifest:
        """Write networks, programs and manifest."""
        ingredients = self.prepared.ingredients
        jobs = network_jobs(self.prepared)
        with self._begin_beside(jobs) if beside else nullcontext() as begun:
            networks = {job.spec.name: self._write_network(job, progress, begun) for job in jobs}
        manifest = Manifest(
            checkpoint=self.prepared.settings.name,
            revision=ingredients.source.revision,
            checkpoint_sha256=ingredients.checkpoint_sha256,
            additions=self.prepared.additions,
            target=self.target.name,
            device=self.prepared.device,
            request_sha256=ingredients.sha256(),
            sources_sha256=sources_digest(REPOSITORY_SOURCES),
            programs_sha256=programs_digest(),
            versions=versions(),
            models=networks,
            calibration=self.prepared.calibration.records(),
            licenses=self.prepared.licenses,
        )
        progress.step("write programs")
        programs = {spec.name: self._write_program(spec, manifest.build) for spec in programs_of(self.prepared)}
        records = networks | programs
        manifest = replace(manifest, models=dict(sorted(records.items())))
        manifest.write(self.staging.stage)
        return manifest

    def _write_network(self, job: NetworkJob, progress: Progress, beside: NetworkBeside | None) -> ModelRecord:
        """Write a network: reuse that of an earlier export, or export it and compare it with its original."""
        name = job.spec.name
        origin, placement = origin_of(job), self.target.placement(job.network)
        version = self._version_folder(job.spec)
        found = self.staging.finished.find(name, origin)
        if found is not None:
            progress.step(f"keep {name}")
            self.staging.take_over(found[0], version)
            parity = found[1].parity
        else:
            progress.step(f"export {name}")
            with noting_network(name):
                if beside is not None and beside.network == name:
                    parity = beside.figures()
                else:
                    with self.staging.scratch_folder() as scratch:
                        bench = Bench(version, scratch, self.cache, job.profiles, progress.phase)
                        parity = make_network(job, self.target, bench)
        if placement.backend == "python":
            _copy_adapter(name, version)
        details = replace(config_details(self.prepared, job.spec), dims=self.target.dims(version))
        _write_config(version, render_config(job.spec, placement, details))
        record = ModelRecord(digest_of([self.staging.stage / name]), origin, job.precision, parity)
        if found is None:
            self.staging.keep(name, record)
        return record

    def _begin_beside(self, jobs: list[NetworkJob]) -> AbstractContextManager[NetworkBeside | None]:
        """Start a second process on a network, if that is worth it."""
        made = [job for job in jobs if self.staging.finished.find(job.spec.name, origin_of(job)) is None]
        chosen = network_beside(made, self.target)
        if chosen is None:
            return nullcontext()
        version = self._version_folder(chosen.spec)
        return NetworkBeside(self.prepared.ingredients, chosen.spec.name, version, self.cache)

    def _write_program(self, spec: ModelSpec, build: str) -> ModelRecord:
        # The sampler starts only beside the networks of this build (eacps.manifest.verify), and every program refuses
        # requests that are meant for another one.
        details = config_details(self.prepared, spec)
        details = replace(details, parameters={**details.parameters, BUILD_PARAMETER: build})
        version = self._version_folder(spec)
        _write_config(version, render_config(spec, EMBEDDED.where, details))
        _copy_adapter(spec.name, version)
        write_assets(self.prepared, spec, version)
        return ModelRecord(digest_of([self.staging.stage / spec.name]))

    def _version_folder(self, spec: ModelSpec) -> Path:
        version = self.staging.stage / spec.name / VERSION
        version.mkdir(parents=True, exist_ok=True)
        return version


@contextmanager
def noting_network(name: str) -> Iterator[None]:
    """Note a network on an error of the operating system that names no file, as numpy's on a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.add_note(f"network: {name}")
        raise


def _write_config(version: Path, text: str) -> None:
    (version.parent / "config.pbtxt").write_text(text, encoding="utf-8")


def _copy_adapter(model: str, version: Path) -> None:
    own = ADAPTERS / model
    adapter = own if own.is_dir() else ADAPTERS / BACKBONE_NETWORK
    shutil.copyfile(adapter / VERSION / ADAPTER_FILE, version / ADAPTER_FILE)

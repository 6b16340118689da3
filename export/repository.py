"""A complete Triton model repository out of a checkpoint, or none at all.

Everything is written into a hidden folder beside the output, which takes the output's place only when every network
has passed its parity gate. Networks of an earlier repository there are taken over where nothing that they depend on
has changed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from eacps.tensors import MODELS, ModelSpec
from export.checkpoint import CheckpointSettings, load_pipeline
from export.config import render_config
from export.manifest import (
    MANIFEST_FILE,
    REPOSITORY_SOURCES,
    ROOT,
    Manifest,
    ModelRecord,
    digest_of,
    is_intact,
    origin_of,
    sources_digest,
    versions,
)
from export.models import LoadedCheckpoint, check_complete
from export.networks.network import Network, sources_of
from export.parity import check_parity
from export.targets import Target

ADAPTERS = ROOT / "model_repository"
VERSION = "1"
ADAPTER_FILE = "model.py"

# Told what is being done, as it begins.
Progress = Callable[[str], None]


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
    with staged(output) as stage:
        _Exporter(checkpoint, settings, target, output, stage).write_all(progress)


class _Exporter:
    """One export on its way.

    Args:
        checkpoint: Its folder.
        settings: What it says of itself.
        target: What the repository is for.
        earlier: Where an earlier repository may lie, whose networks may be taken over.
        stage: Empty folder to write into.
    """

    def __init__(
        self, checkpoint: Path, settings: CheckpointSettings, target: Target, earlier: Path, stage: Path
    ) -> None:
        self.checkpoint, self.target, self.earlier, self.stage = checkpoint, target, earlier, stage
        self.digest = digest_of([checkpoint])
        self.loaded = LoadedCheckpoint(checkpoint, settings, load_pipeline(checkpoint), self.digest)
        manifest = Manifest.read(earlier)
        self.earlier_models = manifest.models if manifest else {}

    def write_all(self, progress: Progress) -> None:
        """Write networks, programs and manifest."""
        records = {}
        for network in self.loaded.networks():
            records[network.spec.name] = self._write_network(network, progress)
        progress("write programs")
        for spec in self.loaded.programs():
            records[spec.name] = self._write_program(spec)
        Manifest(
            checkpoint=self.loaded.settings.name,
            checkpoint_sha256=self.digest,
            target=self.target.name,
            sources_sha256=sources_digest(REPOSITORY_SOURCES),
            versions=versions(),
            models={name: records[name] for name in MODELS if name in records},
        ).write(self.stage)

    def _write_network(self, network: Network, progress: Progress) -> ModelRecord:
        """Write a leaf model: taken over from the earlier repository, or exported and held against its original."""
        name = network.spec.name
        files, settings = self.loaded.origin(network.spec)
        origin = origin_of(network.spec, self.target.name, files, settings, sources_of(network))
        version = self._model_folder(network.spec)
        before = self.earlier_models.get(name)
        if before and before.origin == origin and is_intact(self.earlier / name, before):
            progress(f"keep {name}")
            ignore = shutil.ignore_patterns(ADAPTER_FILE)
            shutil.copytree(self.earlier / name / VERSION, version, dirs_exist_ok=True, ignore=ignore)
            parity = before.parity
        else:
            progress(f"export {name}")
            parity = tuple(check_parity(network, self.target.install(network, version)))
        if self.target.network_backend == "python":
            _copy_adapter(name, version)
        return ModelRecord(digest_of([self.stage / name]), origin, parity)

    def _write_program(self, spec: ModelSpec) -> ModelRecord:
        version = self._model_folder(spec)
        _copy_adapter(spec.name, version)
        self.loaded.write_assets(spec, version)
        return ModelRecord(digest_of([self.stage / spec.name]))

    def _model_folder(self, spec: ModelSpec) -> Path:
        """Make a model's folder with its configuration; return the version folder."""
        version = self.stage / spec.name / VERSION
        version.mkdir(parents=True)
        text = render_config(spec, self.target.network_backend, self.loaded.config_details(spec))
        (version.parent / "config.pbtxt").write_text(text, encoding="utf-8")
        return version


def _copy_adapter(model: str, version: Path) -> None:
    shutil.copyfile(ADAPTERS / model / VERSION / ADAPTER_FILE, version / ADAPTER_FILE)


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
    try:
        if output.exists():
            output.rename(aside)
        stage.rename(output)
    except BaseException:
        # Being told to stop comes as an exception too, and at any point: what stood there must not go with `aside`.
        if aside.exists() and not output.exists():
            aside.rename(output)
        raise


def _check_replaceable(output: Path) -> None:
    if not output.exists() or (output / MANIFEST_FILE).is_file():
        return
    if not output.is_dir() or any(output.iterdir()):
        raise NotARepository(f"{output} exists and is no exported repository; remove it or choose another folder")

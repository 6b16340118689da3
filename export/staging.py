"""Where a repository is made: in a folder beside its output, which it replaces when it is complete.

An engine may take an hour. So finished networks stay when an export fails or is stopped, and the next export reuses
those whose ingredients have not changed. Their files are moved, never hard-linked: onnx and onnx_ir refuse weights in
a file with two names. Until they are moved, symbolic links stand for them in the new repository.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from eacps.manifest import MANIFEST_FILE, Manifest, ModelRecord, is_intact, record_from_json
from export.lock import locked

DONE = "done"
# Of file systems without symbolic links.
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EINVAL)
MANIFEST_KEYS = ("checkpoint", "target", "models")
VERSION = "1"
ADAPTER_FILE = "model.py"


class NotARepository(Exception):
    """The output exists and was not written by this exporter."""


class Finished:
    """Networks that were made before: of the earlier repository at an output, or of an export that was stopped.

    Args:
        output: Folder of the repository, which need not exist.
    """

    def __init__(self, output: Path) -> None:
        self._output, self._done = output, staging_area_of(output) / DONE
        earlier = Manifest.read(output)
        self._earlier = dict(earlier.models) if earlier else {}

    def find(self, model: str, origin: str) -> tuple[Path, ModelRecord] | None:
        """Return the folder and record of an intact network of that origin; None if there is none."""
        candidates = [(self._done / model, self._record_of(model)), (self._output / model, self._earlier.get(model))]
        for folder, record in candidates:
            if record is not None and record.origin == origin and is_intact(folder, record):
                return folder, record
        return None

    def _record_of(self, model: str) -> ModelRecord | None:
        try:
            return record_from_json(json.loads((self._done / f"{model}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            return None


class StagingArea:
    """The folder in which one repository is made; see `open_staging_area`.

    Args:
        output: Folder of the repository.
    """

    def __init__(self, output: Path) -> None:
        self.output, self._folder = output, staging_area_of(output)
        self.stage, self.scratch = self._folder / "new", self._folder / "scratch"
        self._done, self._aside = self._folder / DONE, self._folder / "old"
        self._folder.mkdir(exist_ok=True)
        self._recover()
        for folder in (self.stage, self._aside):
            if folder.exists():
                shutil.rmtree(folder)
        self.stage.mkdir()
        self._done.mkdir(exist_ok=True)
        self.finished = Finished(output)

    def take_over(self, found: Path, version: Path) -> None:
        """Reuse a network's files in a version folder of the new repository."""
        ignore = shutil.ignore_patterns(ADAPTER_FILE, "__pycache__")
        shutil.copytree(found / VERSION, version, dirs_exist_ok=True, ignore=ignore, copy_function=_stand_in)

    def keep(self, model: str, record: ModelRecord) -> None:
        """Keep a network that was made now, for the next export in case this one does not finish."""
        made, kept = self.stage / model, self._done / model
        shutil.rmtree(kept, ignore_errors=True)
        made.rename(kept)
        shutil.copytree(kept, made, copy_function=_stand_in)
        # Last: what has a record is complete.
        _write_whole(self._done / f"{model}.json", json.dumps(asdict(record)))

    @contextmanager
    def scratch_folder(self) -> Iterator[Path]:
        """Yield an empty folder for one network; it is removed afterwards."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        try:
            yield self.scratch
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def deliver(self) -> None:
        """Move the finished repository to its output, and remove the staging area."""
        try:
            if self.output.exists():
                self.output.rename(self._aside)
            self._finish()
        except BaseException:
            # A signal to stop is an exception too, and comes at any point: one repository must be complete.
            self._recover()
            raise
        shutil.rmtree(self._folder)

    def _finish(self) -> None:
        """Put files in the place of their links, and the new repository in the place of its output."""
        for link, source in self._links():
            source.replace(link)
        self.stage.rename(self.output)

    def _links(self) -> list[tuple[Path, Path]]:
        """Return the links that are left in the new repository, with the files that they stand for."""
        found = []
        for link in [path for path in self.stage.rglob("*") if path.is_symlink()]:
            source = Path(os.readlink(link))
            if source.is_relative_to(self.output) and not self.output.exists():
                source = self._aside / source.relative_to(self.output)
            found.append((link, source))
        return found

    def _recover(self) -> None:
        """Go on where an export was killed as it delivered: the earlier repository may lack what was moved already."""
        if self.output.exists():
            return
        if self.is_complete and all(source.exists() for _, source in self._links()):
            self._finish()
        elif self._aside.exists():
            self._aside.rename(self.output)

    @property
    def is_complete(self) -> bool:
        """Whether the new repository needs no more than to be delivered: its manifest is written last."""
        return (self.stage / MANIFEST_FILE).exists()


def staging_area_of(output: Path) -> Path:
    """Return the folder in which the repository of an output is made."""
    # Beside the output, not in the system's temporary folder: a rename must not cross file systems.
    output = output.resolve()
    return output.parent / f".{output.name}.partial"


def lock_of(output: Path) -> Path:
    """Return the file that exports to an output lock. Outside the staging area, which goes when an export delivers."""
    output = output.resolve()
    return output.parent / f".{output.name}.lock"


@contextmanager
def alone_at(output: Path, *, wait_s: float = 0.0, on_wait: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Keep other exports from an output while the block runs; yield the output with its links resolved.

    Args:
        output: Folder, which need not exist; the folders that lead to it are made.
        wait_s: How long to wait for another export.
        on_wait: Called once, before waiting.

    Raises:
        NotARepository: ``output`` holds something else.
        InUse: Another export to it is still under way.
    """
    check_replaceable(output)
    output = output.resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock_of(output), f"export to {output}", wait_s=wait_s, on_wait=on_wait):
        yield output


@contextmanager
def staged(output: Path) -> Iterator[StagingArea]:
    """Yield the staging area of an output that this process has alone; see `alone_at`."""
    staging = StagingArea(output)
    try:
        yield staging
    finally:
        if output.exists() or not staging.is_complete:
            shutil.rmtree(staging.stage, ignore_errors=True)


@contextmanager
def open_staging_area(output: Path) -> Iterator[StagingArea]:
    """Yield the staging area of an output to this process alone; raises as `alone_at` does."""
    with alone_at(output) as resolved, staged(resolved) as staging:
        yield staging


def check_replaceable(output: Path) -> None:
    """Check that an output is free, or holds an earlier repository.

    Raises:
        NotARepository: It holds something else.
    """
    if not output.exists() or _is_repository(output):
        return
    if not output.is_dir() or any(output.iterdir()):
        raise NotARepository(f"{output} exists and is not an exported repository; remove it or choose another folder")


def _is_repository(folder: Path) -> bool:
    """Return whether a folder holds a repository, of this exporter or an earlier one: others have manifests too."""
    try:
        manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and set(MANIFEST_KEYS) <= manifest.keys()


def _stand_in(source: str, target: str) -> None:
    """Link to a file that can be moved to ``target`` later; copy another."""
    plain = os.path.realpath(source) == source
    if plain and Path(source).stat().st_dev == Path(target).parent.stat().st_dev:
        try:
            os.symlink(source, target)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
        else:
            return
    shutil.copy2(source, target)


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)

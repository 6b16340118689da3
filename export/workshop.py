"""Where a repository is made: beside its output, whose place it takes when all of it stands.

What is finished stays when an export fails or is stopped, and the next one takes it over where nothing that it depends
on has changed: an engine may take an hour.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from eacps.manifest import MANIFEST_FILE, Manifest, ModelRecord, is_intact, record_from_json

DONE = "done"
# Of file systems that have no hard links, or none across their border.
NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP)
VERSION = "1"
ADAPTER_FILE = "model.py"


class NotARepository(Exception):
    """The output exists and was not written by this exporter."""


class InUse(Exception):
    """Another export to the same output is under way."""


class Finished:
    """Networks that were made before: of the earlier repository at an output, or of an export that was stopped.

    Args:
        output: Where a repository stands or shall stand.
    """

    def __init__(self, output: Path) -> None:
        self._output, self._done = output, workshop_of(output) / DONE
        earlier = Manifest.read(output)
        self._earlier = dict(earlier.models) if earlier else {}

    def find(self, model: str, origin: str) -> tuple[Path, ModelRecord] | None:
        """Give the folder and record of an intact network of that origin."""
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


class Workshop:
    """The folder in which one repository is made; see `open_workshop`.

    Args:
        output: Where it shall stand.
    """

    def __init__(self, output: Path) -> None:
        self.output, self._folder = output, workshop_of(output)
        self.stage, self.scratch = self._folder / "new", self._folder / "scratch"
        self._done, self._aside = self._folder / DONE, self._folder / "old"
        # Killed between two renames, an export leaves the only repository there is aside.
        if self._aside.exists() and not output.exists():
            self._aside.rename(output)
        for folder in (self.stage, self._aside):
            if folder.exists():
                shutil.rmtree(folder)
        self.stage.mkdir()
        self._done.mkdir(exist_ok=True)
        self.finished = Finished(output)

    def take_over(self, found: Path, version: Path) -> None:
        """Bring a network's files into a new version folder: without copying where the file system can."""
        ignore = shutil.ignore_patterns(ADAPTER_FILE, "__pycache__")
        shutil.copytree(found / VERSION, version, dirs_exist_ok=True, ignore=ignore, copy_function=_link)

    def keep(self, model: str, record: ModelRecord) -> None:
        """Lay a finished network aside, for the case that the export does not get to its end."""
        shutil.rmtree(self._done / model, ignore_errors=True)
        shutil.copytree(self.stage / model, self._done / model, copy_function=_link)
        # Last: what has a record is complete.
        _write_whole(self._done / f"{model}.json", json.dumps(asdict(record)))

    @contextmanager
    def scratch_folder(self) -> Iterator[Path]:
        """Give an empty folder for one network."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        try:
            yield self.scratch
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def deliver(self) -> None:
        """Put the finished repository in its place, and clear the workshop away."""
        try:
            if self.output.exists():
                self.output.rename(self._aside)
            self.stage.rename(self.output)
        except BaseException:
            # Being told to stop comes as an exception too, and at any point: what stood there must not go.
            if self._aside.exists() and not self.output.exists():
                self._aside.rename(self.output)
            raise
        shutil.rmtree(self._folder)


def workshop_of(output: Path) -> Path:
    """The folder in which the repository of an output is made."""
    # Beside the output, not in the system's temporary folder: a rename must not cross file systems.
    return output.absolute().parent / f".{output.name}.partial"


@contextmanager
def open_workshop(output: Path) -> Iterator[Workshop]:
    """Give the workshop of an output, alone.

    Raises:
        NotARepository: ``output`` holds something else.
        InUse: Someone else has it.
    """
    output = output.absolute()
    _check_replaceable(output)
    folder = workshop_of(output)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(f"another export to {output} is under way") from None
        yield Workshop(output)


def _check_replaceable(output: Path) -> None:
    if not output.exists() or (output / MANIFEST_FILE).is_file():
        return
    if not output.is_dir() or any(output.iterdir()):
        raise NotARepository(f"{output} exists and is no exported repository; remove it or choose another folder")


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copy2(source, target)


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)

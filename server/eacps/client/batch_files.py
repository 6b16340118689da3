"""The pictures of a batch as files: their names, and that nothing is overwritten which was not the batch's own."""

import hashlib
import string
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from eacps.client.aio import AsyncClient
from eacps.client.batch_journal import ShotEntry
from eacps.client.errors import Violation
from eacps.client.file_names import fitting, id_in_name, names_picture

FILE_EXISTS = "FILE_EXISTS"
DEFAULT_NAME = "{shot}_{candidate}.png"
FIELDS = ("shot", "candidate", "search")


class BatchFiles:
    """Writes the pictures of a batch.

    Args:
        client: Downloads them.
        folder: Of the batch.
        name: Path within it, with ``{shot}`` for the shot's name and ``{candidate}`` and ``{search}`` for
            ids. It ends in ``.png``; pictures in another format get the suffix of that.
        top: How many candidates of a shot are written, best first.
        overwrite: Whether a file with another content is replaced.
    """

    def __init__(self, client: AsyncClient, folder: Path, name: str, *, top: int, overwrite: bool) -> None:
        self._client, self._folder, self._name, self._top, self._overwrite = client, folder, name, top, overwrite

    def violations(self, shots: Sequence[str]) -> Iterator[Violation]:
        """Yield what is wrong with the names of the files to be."""
        try:
            fields = {field for _, field, _, _ in string.Formatter().parse(self._name) if field is not None}
        except ValueError as exc:
            yield Violation("name", f"{self._name!r}: {exc}")
            return
        if unknown := sorted(fields - set(FIELDS)):
            known = ", ".join(f"{{{field}}}" for field in FIELDS)
            yield Violation("name", f"{self._name!r} holds {{{unknown[0]}}}; known are {known}")
        elif "shot" not in fields or not names_picture(Path(self._name)):
            yield Violation("name", f"{self._name!r} must contain {{shot}} and end in .png, .tif or .exr")
        elif self._top > 1 and "candidate" not in fields:
            yield Violation(
                "name", f"{self._name!r} must contain {{candidate}} if several pictures of a shot are written"
            )
        else:
            yield from (
                Violation(shot, "does not make the name of a file") for shot in shots if not self._is_within(shot)
            )
            yield from self._collisions(shots)

    def _collisions(self, shots: Sequence[str]) -> Iterator[Violation]:
        """Yield shots whose files would be those of others where the file system takes upper and lower case for one."""
        seen: dict[str, str] = {}
        for shot in shots:
            folded = unicodedata.normalize("NFC", shot).casefold()
            if seen.setdefault(folded, shot) != shot:
                yield Violation(shot, f"makes the same files as {seen[folded]!r} on macOS and Windows; rename one")

    def are_there(self, entry: ShotEntry) -> bool:
        """Whether all pictures of a finished shot are files, whoever has worked on them since."""
        paths = {candidate: self._path(entry, candidate) for candidate in self._wanted(entry)}
        return all(self._is_written(entry, candidate, path) for candidate, path in paths.items())

    async def written(self, entry: ShotEntry) -> ShotEntry:
        """Write the pictures of a finished shot; where a file of that name has another content, the entry says so.

        Raises:
            CallFailed: They cannot be downloaded.
            OSError: They cannot be written.
        """
        for candidate in self._wanted(entry):
            path = self._path(entry, candidate)
            if self._is_written(entry, candidate, path):
                continue  # delivered before, and perhaps worked on since
            data = await self._data(entry, candidate)
            file = fitting(self._folder / path, data)
            if file.exists() and not self._overwrite and _digest(file.read_bytes()) != _digest(data):
                failure = f"{file} exists with another content; say --overwrite to replace it"
                return replace(entry, reason=FILE_EXISTS, failure=failure)
            _write(file, data)
            entry = replace(entry, files={**entry.files, candidate: file.relative_to(self._folder).as_posix()})
        return replace(entry, reason="", failure="")

    def _is_written(self, entry: ShotEntry, candidate: str, path: PurePosixPath) -> bool:
        """Whether a picture was written under this name, in whatever format its scene has."""
        written = entry.files.get(candidate, "")
        same = PurePosixPath(written).with_suffix("") == path.with_suffix("") if written else False
        return same and (self._folder / written).is_file()

    async def _data(self, entry: ShotEntry, candidate: str) -> bytes:
        if candidate == entry.best:
            return await self._client.download(entry.delivered)
        return await self._client.pick(entry.search_id, candidate)

    def _wanted(self, entry: ShotEntry) -> list[str]:
        """Return the candidates to write: the best one, then the next ones that have a picture."""
        others = [one["candidate"] for one in entry.candidates if one["artifact"] and one["candidate"] != entry.best]
        return [entry.best, *others[: self._top - 1]]

    def _path(self, entry: ShotEntry, candidate: str) -> PurePosixPath:
        ids = {"candidate": id_in_name(candidate), "search": id_in_name(entry.search_id)}
        return PurePosixPath(self._name.format(shot=entry.shot, **ids))

    def _is_within(self, shot: str) -> bool:
        path = PurePosixPath(self._name.format(shot=shot, candidate="g0-000", search="0"))
        return bool(shot) and "\0" not in shot and not path.is_absolute() and ".." not in path.parts


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.write_bytes(data)
    part.replace(file)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()

"""Where the bytes of objects are: a folder, or a bucket of a cloud. Paths are relative, with slashes."""

import asyncio
import logging
import os
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from eacps.durable.outages import store_error
from eacps.errors import FieldViolation, InvalidRequest, ungrouped

_log = logging.getLogger(__name__)
T = TypeVar("T")
_FOLDER_THREADS = 8
_REQUESTS_AT_ONCE = 32
_PARTIAL, _PARTIAL_FILE_S = "#", 3600.0
"""Mark in the names of files that are being written, and the age in seconds from which on nobody writes them."""
_PARTIAL_NAME = re.compile(rf"[0-9a-f]{{64}}{_PARTIAL}[0-9a-f]{{8}}")
"""An object's name is a digest."""
_URL = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://")  # a folder's path may hold this further on


class Store(Protocol):
    """Holds bytes by path. All methods raise `StoreUnavailable` if the store fails."""

    async def put(self, objects: Mapping[str, bytes]) -> None:
        """Write objects by path, each as a whole or not at all."""
        ...

    async def missing(self, paths: Collection[str]) -> set[str]:
        """Return which of these objects are not there."""
        ...

    async def get(self, path: str) -> bytes:
        """Return an object.

        Raises:
            FileNotFoundError: It is not there.
        """
        ...

    async def get_range(self, path: str, start: int, length: int) -> bytes:
        """Return up to ``length`` bytes of an object from ``start`` on; raises as `get`."""
        ...

    def delete(self, path: str) -> None:
        """Delete an object; blocks, and raises as `get`."""
        ...


def open_store(location: str) -> Store:
    """Open a store: a folder, made where there is none, or a URL such as ``s3://BUCKET/PREFIX``, ``gs://``, ``az://``.

    Credentials come from the environment variables that the cloud's own tools read.

    Raises:
        InvalidRequest: The store cannot be opened.
    """
    try:
        return Bucket(from_url(location.strip())) if _URL.match(location) else Folder(Path(location).absolute())
    except (BaseError, OSError, ValueError) as exc:
        raise InvalidRequest([FieldViolation("artifacts", f"{location} cannot be opened: {exc}")]) from exc


class Folder:
    """A `Store` of files. The files of one call are written one after the other, in one thread.

    obstore has a store of files too. It takes several threads, and three to five times the processor time, for each.

    Args:
        folder: Created if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._threads = ThreadPoolExecutor(_FOLDER_THREADS, thread_name_prefix="files")
        self._threads.submit(_remove_partial_files, folder)

    async def put(self, objects: Mapping[str, bytes]) -> None:
        """See `Store.put`."""

        def work() -> None:
            for path, data in objects.items():
                _write(f"{self._folder}/{path}", data)

        await self._in_thread(work)

    async def missing(self, paths: Collection[str]) -> set[str]:
        """See `Store.missing`."""
        return await self._in_thread(lambda: {path for path in paths if not (self._folder / path).is_file()})

    async def get(self, path: str) -> bytes:
        """See `Store.get`."""
        return await self._in_thread((self._folder / path).read_bytes)

    async def get_range(self, path: str, start: int, length: int) -> bytes:
        """See `Store.get_range`."""

        def read() -> bytes:
            with (self._folder / path).open("rb") as file:
                file.seek(start)
                return file.read(length)

        return await self._in_thread(read)

    def delete(self, path: str) -> None:
        """See `Store.delete`."""
        with _translated():
            (self._folder / path).unlink()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        with _translated():
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)


class Bucket:
    """A `Store` of a cloud.

    Args:
        store: An obstore store.
    """

    def __init__(self, store: Any) -> None:
        self._store = store

    async def put(self, objects: Mapping[str, bytes]) -> None:
        """See `Store.put`."""
        await self._each(objects, lambda path: self._put(path, objects[path]))

    async def missing(self, paths: Collection[str]) -> set[str]:
        """See `Store.missing`."""
        held: dict[str, bool] = {}

        async def look(path: str) -> None:
            held[path] = await self._holds(path)

        await self._each(paths, look)
        return {path for path, is_held in held.items() if not is_held}

    async def get(self, path: str) -> bytes:
        """See `Store.get`."""
        with _translated():
            result = await obstore.get_async(self._store, path)
            return bytes(await result.bytes_async())

    async def get_range(self, path: str, start: int, length: int) -> bytes:
        """See `Store.get_range`."""
        with _translated():
            return bytes(await obstore.get_range_async(self._store, path, start=start, length=length))

    def delete(self, path: str) -> None:
        """See `Store.delete`."""
        with _translated():
            obstore.delete(self._store, path)

    async def _each(self, paths: Iterable[str], work: Callable[[str], Awaitable[None]]) -> None:
        """Do work on every path, some at once; where one fails, the others are cancelled."""
        slots = asyncio.Semaphore(_REQUESTS_AT_ONCE)

        async def within_a_slot(path: str) -> None:
            async with slots:
                await work(path)

        with ungrouped():
            async with asyncio.TaskGroup() as group:
                for path in paths:
                    group.create_task(within_a_slot(path))

    async def _put(self, path: str, data: bytes) -> None:
        with _translated():
            await obstore.put_async(self._store, path, data)

    async def _holds(self, path: str) -> bool:
        with _translated():
            try:
                await obstore.head_async(self._store, path)
            except FileNotFoundError:
                return False
            return True


@contextmanager
def _translated() -> Iterator[None]:
    """Raise `StoreUnavailable` if the store failed; that an object is not there passes."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as exc:
        raise store_error("the object store", exc) from exc


def _remove_partial_files(folder: Path) -> None:
    """Remove what earlier processes were killed in the middle of; what is younger may be another server's."""
    oldest_s = time.time() - _PARTIAL_FILE_S
    try:
        for file in folder.glob(f"*/*{_PARTIAL}*"):
            with suppress(FileNotFoundError):  # it was finished meanwhile
                if _PARTIAL_NAME.fullmatch(file.name) and file.stat().st_mtime < oldest_s:
                    file.unlink()
    except OSError as exc:
        _log.warning("files that were never finished cannot be removed: %s", exc)


def _write(file: str, data: bytes) -> None:
    """Write a file as a whole or not at all; its folder is created if it is missing.

    It is not forced to the disk: after a loss of power it may be missing or empty although the database names it, and
    reading it then fails.
    """
    partial = f"{file}{_PARTIAL}{secrets.token_hex(4)}"
    try:
        try:
            _fill(partial, data)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(file), exist_ok=True)
            _fill(partial, data)
        os.replace(partial, file)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(partial)
        raise


def _fill(file: str, data: bytes) -> None:
    with open(file, "xb") as opened:
        opened.write(data)

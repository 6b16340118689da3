"""What every store of bytes promises: a folder, and obstore's own store in memory in the place of a cloud."""

import asyncio
import os
from pathlib import Path

import obstore
import pytest
from obstore.store import MemoryStore

from eacps.durable.stores import Bucket, Folder, Store, _remove_partial_files
from eacps.errors import StoreUnavailable


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Folder(tmp_path / "below" / "artifacts") if request.param == "folder" else Bucket(MemoryStore())


async def test_objects_come_back(store: Store) -> None:
    await store.put({"ab/one": b"first", "ab/two": b"second", "cd/three": b""})
    assert [await store.get(path) for path in ("ab/one", "ab/two", "cd/three")] == [b"first", b"second", b""]
    assert await store.get_range("ab/two", 2, 3) == b"con"
    assert await store.missing({"ab/one", "ab/none", "ef/none"}) == {"ab/none", "ef/none"}
    await store.put({"ab/one": b"again"})
    assert await store.get("ab/one") == b"again"


async def test_what_is_not_there_is_not_found(store: Store) -> None:
    await store.put({"ab/one": b"first"})
    store.delete("ab/one")
    with pytest.raises(FileNotFoundError):
        await store.get("ab/one")
    with pytest.raises(FileNotFoundError):
        await store.get_range("ab/one", 0, 1)
    if isinstance(store, Folder):
        with pytest.raises(FileNotFoundError):
            store.delete("ab/one")


async def test_a_folder_holds_nothing_but_whole_files(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    (tmp_path / "ab" / "one").mkdir(parents=True)  # so that it cannot be replaced by a file
    with pytest.raises(StoreUnavailable):
        await store.put({"ab/one": b"first"})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_folder_loses_what_was_never_finished(tmp_path: Path) -> None:
    digest, others = "ab" * 32, ("Song #1.mp3", "#notes#", f"{'ab' * 32}", f"{'cd' * 32}#12345678")
    (tmp_path / "ab").mkdir()
    old, *kept = (tmp_path / "ab" / name for name in (f"{digest}#12345678", *others))
    for file in (old, *kept):
        file.write_bytes(b"half")
    for file in (old, *kept[:-1]):
        os.utime(file, (0, 0))
    await Folder(tmp_path).missing([])  # in the same threads, behind it
    async with asyncio.timeout(60):
        while old.exists():
            await asyncio.sleep(0.01)
    _remove_partial_files(tmp_path)
    assert all(file.exists() for file in kept)


async def test_a_bucket_that_fails_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = list[str]()

    async def fail(_store: object, path: str, _data: bytes) -> None:
        begun.append(path)
        await asyncio.sleep(0)
        raise OSError("away")

    monkeypatch.setattr(obstore, "put_async", fail)
    with pytest.raises(StoreUnavailable):
        await Bucket(MemoryStore()).put({f"ab/{number}": b"" for number in range(1000)})
    assert len(begun) <= 64


async def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    store = Folder(tmp_path / "artifacts")
    (tmp_path / "artifacts").rmdir()
    await store.put({"ab/one": b"first"})
    assert await store.get("ab/one") == b"first"

"""Pictures by content hash: who may have them, and when they go."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from eacps.artifacts import Artifact
from eacps.durable import Database, ObjectStore, Retention, SearchStore, StoredEvent, Submission, Sweeper, open_store
from eacps.durable import sweeper as sweeping
from eacps.errors import ArtifactNotFound, InvalidRequest
from tests.durable.conftest import Clock

Submit = Callable[..., Submission]


def files_in(folder: Path) -> set[str]:
    return {path.name for path in (folder / "artifacts").rglob("*") if path.is_file()}


async def run_out(store: SearchStore, objects: ObjectStore, submission: Submission, data: bytes) -> str:
    """Run a search that stores one artifact, to its end; give the artifact."""
    await store.create(submission)
    await store.begin(submission.id)
    artifact = Artifact.of(data)
    await objects.put_for_search(submission.id, [artifact])
    await finish(store, submission.id)
    return artifact.digest


async def finish(store: SearchStore, search_id: str) -> None:
    """End a search that has reported nothing so far."""
    await store.record(search_id, [StoredEvent(1, b"")], before=0, spent="{}", parts={}, finished=True)


async def test_bytes_come_back_by_their_hash(objects: ObjectStore, tmp_path: Path) -> None:
    digest = await objects.put_upload("ada", b"picture")
    assert await objects.put_upload("ada", b"picture") == digest
    assert await objects.size_for_tenant("ada", digest) == len(b"picture")
    assert await objects.get(digest) == b"picture"
    assert [await objects.get_range(digest, start, 3) for start in (0, 3, 6)] == [b"pic", b"tur", b"e"]
    assert files_in(tmp_path) == {digest}


@pytest.mark.parametrize("digest", ["", "0" * 64, "../../etc/passwd", "A" * 64, "é" * 64, "\0" * 64])
async def test_what_is_not_there_is_not_found(objects: ObjectStore, digest: str) -> None:
    with pytest.raises(ArtifactNotFound):
        await objects.size_for_tenant("ada", digest)
    with pytest.raises(ArtifactNotFound):
        await objects.get_range(digest, 0, 1)


async def test_only_who_brought_it_or_searched_it_may_have_it(
    store: SearchStore, objects: ObjectStore, submit: Submit
) -> None:
    brought = await objects.put_upload("ada", b"brought")
    found = await run_out(store, objects, submit(tenant="bob"), b"found")
    assert await objects.size_for_tenant("bob", found) == len(b"found")
    for tenant, digest in (("bob", brought), ("ada", found)):
        with pytest.raises(ArtifactNotFound):
            await objects.size_for_tenant(tenant, digest)
    await objects.put_upload("bob", b"brought")  # who has the bytes may name them
    assert await objects.size_for_tenant("bob", brought) == len(b"brought")


async def test_a_search_that_is_deleted_takes_what_only_it_refers_to(
    store: SearchStore, objects: ObjectStore, submit: Submit, tmp_path: Path
) -> None:
    first, second = submit(), submit()
    own = await run_out(store, objects, first, b"own")
    shared = await run_out(store, objects, second, b"shared")
    await store.delete("ada", second.id)
    third = submit()
    await run_out(store, objects, third, b"shared")
    await objects.remove_unreferred([own, shared])
    assert files_in(tmp_path) == {own, shared}
    assert await objects.remove_unreferred(await store.delete("ada", first.id)) == len(b"own")
    assert files_in(tmp_path) == {shared}


class TestSweeping:
    async def test_what_is_old_goes_and_what_is_referred_to_stays(
        self, store: SearchStore, objects: ObjectStore, database: Database, submit: Submit, clock: Clock, tmp_path: Path
    ) -> None:
        old, running = submit(), submit()
        gone = await run_out(store, objects, old, b"old")
        await store.create(running)
        await store.begin(running.id)
        held = Artifact.of(b"held").digest
        await objects.put_for_search(running.id, [Artifact.of(b"held")])
        forgotten = await objects.put_upload("ada", b"forgotten")
        used = await objects.put_upload("ada", b"used")
        await store.create(submit(inputs=frozenset({used})))
        clock.now_s += 100
        young = await run_out(store, objects, submit(), b"young")
        fresh = await objects.put_upload("ada", b"fresh")
        sweeper = Sweeper(database, objects, Retention(search_s=50, upload_s=50), clock)
        swept = await sweeper.sweep()
        assert swept.searches == (old.id,)
        assert swept.size == len(b"old") + len(b"forgotten")
        assert files_in(tmp_path) == {held, used, young, fresh}
        assert gone not in files_in(tmp_path)
        assert forgotten not in files_in(tmp_path)
        assert (await sweeper.sweep()).searches == ()

    async def test_all_that_is_old_goes_at_once(
        self,
        store: SearchStore,
        objects: ObjectStore,
        database: Database,
        submit: Submit,
        clock: Clock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(sweeping, "_AT_ONCE", 2)
        for number in range(5):
            await run_out(store, objects, submit(), bytes([number]))
        clock.now_s += 100
        swept = await Sweeper(database, objects, Retention(search_s=50), clock).sweep()
        assert (len(swept.searches), swept.size) == (5, 5)

    async def test_too_much_goes_oldest_first(
        self, store: SearchStore, objects: ObjectStore, database: Database, submit: Submit, clock: Clock, tmp_path: Path
    ) -> None:
        kept = []
        for number in range(4):
            clock.now_s += 1
            kept.append(await run_out(store, objects, submit(), bytes([number]) * 100))
        swept = await Sweeper(database, objects, Retention(size=250), clock).sweep()
        assert len(swept.searches) == 2
        assert files_in(tmp_path) == set(kept[2:])

    async def test_nothing_in_use_is_ever_taken(
        self, store: SearchStore, objects: ObjectStore, database: Database, submit: Submit, clock: Clock
    ) -> None:
        """Searches that come and go with the same artifact, while two sweepers sweep all the time."""
        sweepers = [Sweeper(database, objects, Retention(search_s=-1, upload_s=-1), clock) for _ in range(2)]
        working = True

        async def sweep(sweeper: Sweeper) -> None:
            while working:
                await sweeper.sweep()

        async def search() -> None:
            for _ in range(12):
                submission = submit()
                await store.create(submission)
                await store.begin(submission.id)
                shared = Artifact.of(b"everybody's")
                await objects.put_for_search(submission.id, [shared, Artifact.of(submission.id.encode())])
                assert await objects.get(shared.digest) == b"everybody's"
                await finish(store, submission.id)

        sweeping = [asyncio.create_task(sweep(sweeper)) for sweeper in sweepers]
        try:
            async with asyncio.timeout(60):
                await asyncio.gather(search(), search(), search())
        finally:
            working = False
            await asyncio.gather(*sweeping)


def test_a_store_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (str(tmp_path / "file" / "below"), "gopher://somewhere"):
        with pytest.raises(InvalidRequest, match="artifacts"):
            open_store(place)

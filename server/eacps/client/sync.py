"""The blocking client: the asyncio one, on a loop of its own in a thread."""

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from eacps.client.aio import AsyncClient
from eacps.client.batch import AsyncBatch
from eacps.client.batch_journal import ShotEntry
from eacps.client.errors import ClientClosed
from eacps.client.shots import Shot
from eacps.v1 import search_service_pb2 as pb

T = TypeVar("T")
_TAKING_BACK_S = 6.0


class Client:
    """Calls a search server from blocking code; any thread may. Close it, or use it as a context manager.

    Methods, arguments and errors are those of `AsyncClient`.

    Args:
        server: ``host:port``.
        settings: See `AsyncClient`.
    """

    def __init__(self, server: str, **settings: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._closed, self._submitting = False, threading.RLock()  # the collector may end a generator within it
        self._thread = threading.Thread(target=self._loop.run_forever, name="eacps client", daemon=True)
        self._thread.start()
        try:
            self._client = self._wait(_made(server, settings))
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all calls, which raise `ClientClosed` in their threads, and close the connection."""
        self._stop(self._client)

    def run(
        self,
        request: pb.RunSearchRequest,
        *,
        timeout_s: float | None = None,
        on_submitted: Callable[[pb.Search], None] | None = None,
    ) -> Generator[pb.SearchEvent, None, None]:
        """See `AsyncClient.run`; ``on_submitted`` is called in the client's own thread."""
        return self._iterate(self._client.run(request, timeout_s=timeout_s, on_submitted=on_submitted))

    def submit(self, request: pb.RunSearchRequest) -> pb.Search:
        """See `AsyncClient.submit`."""
        return self._wait(self._client.submit(request))

    def validate(self, request: pb.RunSearchRequest) -> None:
        """See `AsyncClient.validate`."""
        self._wait(self._client.validate(request))

    def get(self, search_id: str) -> pb.Search:
        """See `AsyncClient.get`."""
        return self._wait(self._client.get(search_id))

    def list(
        self,
        *,
        states: Iterable["pb.SearchState"] = (),
        labels: Mapping[str, str] | None = None,
        page_size: int = 0,
    ) -> Generator[pb.Search, None, None]:
        """See `AsyncClient.list`."""
        return self._iterate(self._client.list(states=states, labels=labels, page_size=page_size))

    def watch(
        self, search_id: str, *, after: int = 0, inline_pictures: bool = False
    ) -> Generator[pb.SearchEvent, None, None]:
        """See `AsyncClient.watch`."""
        return self._iterate(self._client.watch(search_id, after=after, inline_pictures=inline_pictures))

    def capabilities(self) -> pb.GetCapabilitiesResponse:
        """See `AsyncClient.capabilities`."""
        return self._wait(self._client.capabilities())

    def cancel(self, search_id: str) -> pb.Search:
        """See `AsyncClient.cancel`."""
        return self._wait(self._client.cancel(search_id))

    def delete(self, search_id: str, *, allow_missing: bool = False) -> None:
        """See `AsyncClient.delete`."""
        self._wait(self._client.delete(search_id, allow_missing=allow_missing))

    def upload(self, picture: bytes) -> pb.Image:
        """See `AsyncClient.upload`."""
        return self._wait(self._client.upload(picture))

    def download(self, artifact: str) -> bytes:
        """See `AsyncClient.download`."""
        return self._wait(self._client.download(artifact))

    def detect_faces(self, picture: pb.Image) -> pb.DetectFacesResponse:
        """See `AsyncClient.detect_faces`."""
        return self._wait(self._client.detect_faces(picture))

    def fetch(self, images: Iterable[pb.Image]) -> None:
        """See `AsyncClient.fetch`."""
        self._wait(self._client.fetch(images))

    def prepare_prior(self, request: pb.PreparePriorRequest) -> pb.PreparePriorResponse:
        """See `AsyncClient.prepare_prior`."""
        return self._wait(self._client.prepare_prior(request))

    def render(self, request: pb.RenderCandidateRequest) -> pb.RenderCandidateResponse:
        """See `AsyncClient.render`."""
        return self._wait(self._client.render(request))

    def pick(self, search_id: str, candidate_id: str) -> bytes:
        """See `AsyncClient.pick`."""
        return self._wait(self._client.pick(search_id, candidate_id))

    def layers(self, search_id: str, candidate_id: str) -> dict[str, bytes]:
        """See `AsyncClient.layers`."""
        return self._wait(self._client.layers(search_id, candidate_id))

    def rank(self, request: pb.RankCandidatesRequest) -> pb.RankCandidatesResponse:
        """See `AsyncClient.rank`."""
        return self._wait(self._client.rank(request))

    def score(self, request: pb.ScoreImagesRequest) -> pb.ScoreImagesResponse:
        """See `AsyncClient.score`."""
        return self._wait(self._client.score(request))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        ended = threading.Event()

        async def tracked() -> T:
            try:
                return await work
            finally:
                ended.set()

        with self._submitting:
            if self._closed:
                work.close()
                raise ClientClosed
            future = asyncio.run_coroutine_threadsafe(tracked(), self._loop)
        if threading.current_thread() is self._thread:  # the collector found something there: nobody can wait for it
            return cast(T, None)
        try:
            return future.result()
        except concurrent.futures.CancelledError as exc:
            if self._closed:
                raise ClientClosed from exc
            raise
        except BaseException:
            # An interrupted caller waits for its call to be taken back, so that what comes next finds it ended.
            if future.cancel():
                ended.wait(_TAKING_BACK_S)
            raise

    def _iterate(self, items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        try:
            while True:
                item = self._wait(_next(items))
                if isinstance(item, _End):
                    return
                yield item
        finally:
            if not self._closed:  # else it has ended with the loop
                self._wait(items.aclose())

    def _stop(self, client: AsyncClient | None = None) -> None:
        with self._submitting:
            if self._closed:
                return
            self._closed = True
            ended = asyncio.run_coroutine_threadsafe(_end(client), self._loop)
        ended.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Batch:
    """Searches over a list of shots, from blocking code.

    Arguments, results and errors are those of `AsyncBatch`. Interrupted by Ctrl-C, the searches go on; run it again, or
    call `cancel`.

    Args:
        client: Reaches the server.
        shots: See `AsyncBatch`.
        folder: Likewise.
        settings: Likewise.
    """

    def __init__(self, client: Client, shots: Sequence[Shot], folder: Path, **settings: Any) -> None:
        self._client = client
        self._batch = AsyncBatch(client._client, shots, folder, **settings)

    def run(self) -> list[ShotEntry]:
        """See `AsyncBatch.run`."""
        return self._client._wait(self._batch.run())

    def cancel(self) -> None:
        """See `AsyncBatch.cancel`."""
        self._client._wait(self._batch.cancel())


async def _made(server: str, settings: Mapping[str, Any]) -> AsyncClient:
    return AsyncClient(server, **settings)  # within the loop on which its channel is to live


async def _end(client: AsyncClient | None) -> None:
    """Close a client, and end what other threads wait for, so that none waits for ever."""
    await asyncio.sleep(0)  # all that was submitted has begun
    if client is not None:
        await client.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


class _End:
    """In the place of an item after the last one."""


async def _next(items: AsyncGenerator[T, None]) -> T | _End:
    return await anext(items, _End())

"""POST /v1/images/edits: one search for each request, with the caller's key."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import Executor
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from eacps.client import AsyncClient, CallFailed
from eacps.http.answer import completed_events, error_event, partial_event, whole_answer
from eacps.http.disconnect import CallerLeft, while_connected, with_pauses
from eacps.http.edit import edit_request
from eacps.http.errors import RATE, HttpError, error_of
from eacps.http.fields import EditFields, fields_of
from eacps.http.form import read_form
from eacps.http.searching import Partial, Searched, run_edit

T = TypeVar("T")
OpenClient = Callable[[Request], AsyncClient]
EditEvents = AsyncGenerator[Partial | Searched, None]
_logger = logging.getLogger(__name__)
_PAUSE_S = 15.0
"""After so long without an event a comment is sent, so that no proxy takes the connection for dead."""
_DELIVERY_S = 45.0
"""Beyond the time of a search, for waiting in the queue before it and delivery after it."""
_PAUSE = b": the search goes on\n\n"
_MAX_REQUEST_ID = 128


@dataclass(frozen=True)
class HttpLimits:
    """How much is done at once.

    Args:
        max_body_bytes: Of one request.
        body_timeout_s: Until all of it must have arrived.
        max_edits: Requests that are answered at once; a further one is refused.
        search_timeout_s: For one search, which then ends with the best so far.
    """

    max_body_bytes: int = 256 * 2**20
    body_timeout_s: float = 60.0
    max_edits: int = 64
    search_timeout_s: float = 540.0


class Edits:
    """An ASGI application.

    Args:
        open_client: Opens a client with the key of a request.
        check_model: Raises `HttpError` for a model that is not served.
        limits: How much is done at once.
        executor: Decodes masks and encodes results.
    """

    def __init__(
        self, open_client: OpenClient, check_model: Callable[[str], None], limits: HttpLimits, executor: Executor
    ) -> None:
        self._open_client, self._check_model, self._limits, self._executor = open_client, check_model, limits, executor
        self._edits = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope)
        try:
            with self._counted():
                await self._answer(request, receive, send)
        except HttpError as exc:
            await exc.response(scope, receive, send)
        except CallFailed as exc:
            await error_of(exc).response(scope, receive, send)
        except (CallerLeft, ClientDisconnect):
            _logger.info("a caller left before its edit was done")

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._edits >= self._limits.max_edits:
            message = f"{self._edits} edits are being made, as many as may be at once."
            raise HttpError(429, message, type=RATE, code="too_many_edits", retry_after_s=5.0, retry=True)
        self._edits += 1
        try:
            yield
        finally:
            self._edits -= 1

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        limits = self._limits
        request_id = _request_id(request)
        async with self._open_client(request) as client:
            form = await read_form(request, receive, max_bytes=limits.max_body_bytes, timeout_s=limits.body_timeout_s)
            fields = fields_of(form)
            if fields.model is not None:
                self._check_model(fields.model)
            asked = await self._in_thread(lambda: edit_request(fields, request_id, limits.search_timeout_s))
            searching = run_edit(
                client,
                asked,
                n=fields.n,
                partial_images=fields.partial_images if fields.stream else 0,
                timeout_s=limits.search_timeout_s + _DELIVERY_S,
            )
            if fields.stream:
                await while_connected(receive, self._stream(fields, searching, send))
            else:
                body = await while_connected(receive, self._whole(fields, searching))
                await Response(body, media_type="application/json")(request.scope, receive, send)

    async def _whole(self, fields: EditFields, searching: EditEvents) -> bytes:
        async with aclosing(searching):
            searched = [one async for one in searching if isinstance(one, Searched)][-1]
        created = int(time.time())
        return await self._in_thread(lambda: json.dumps(whole_answer(fields, searched, created)).encode())

    async def _stream(self, fields: EditFields, searching: EditEvents, send: Send) -> None:
        async with _event_stream(send) as emit, aclosing(with_pauses(searching, _PAUSE_S)) as items:
            async for item in items:
                created = int(time.time())
                match item:
                    case None:
                        await emit(_PAUSE)
                    case Partial():
                        await emit(await self._in_thread(partial(partial_event, fields, item, created)))
                    case Searched():
                        events = completed_events(fields, item, created)
                        while event := await self._in_thread(partial(next, events, b"")):
                            await emit(event)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


@asynccontextmanager
async def _event_stream(send: Send) -> AsyncGenerator[Callable[[bytes], Awaitable[None]], None]:
    """Begin a response with its first event. What fails before that is raised, what fails after it is an event."""
    begun = False

    async def emit(event: bytes) -> None:
        nonlocal begun
        if not begun:
            begun = True
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
            headers.append((b"x-accel-buffering", b"no"))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": event, "more_body": True})

    try:
        yield emit
    except (HttpError, CallFailed) as exc:
        if not begun:
            raise
        await emit(error_event((error_of(exc) if isinstance(exc, CallFailed) else exc).body))
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _request_id(request: Request) -> str:
    """Return the caller's name for its request; empty if it has none."""
    key = request.headers.get("idempotency-key", "")
    if len(key) > _MAX_REQUEST_ID or not all("!" <= character <= "~" for character in key):
        message = f"Invalid 'Idempotency-Key': it must be 1 to {_MAX_REQUEST_ID} visible ASCII characters."
        raise HttpError(400, message, code="invalid_idempotency_key")
    return key

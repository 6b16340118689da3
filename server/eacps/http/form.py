"""The multipart body of a request, read within limits."""

import asyncio
from dataclasses import dataclass, field

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.types import Message, Receive

from eacps.http.errors import HttpError

MAX_FILES, MAX_FIELDS = 32, 64
MAX_FIELD_BYTES = 2**20
_DRAIN_S = 5.0


@dataclass
class Form:
    """What a form holds, by name, in the order of its parts.

    Args:
        texts: Values of fields.
        files: Contents of files; a field that was sent without a file name is none.
    """

    texts: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[bytes]] = field(default_factory=dict)


async def read_form(request: Request, receive: Receive, *, max_bytes: int, timeout_s: float) -> Form:
    """Read a form.

    Args:
        request: Not read from so far.
        receive: Of the request.
        max_bytes: Of the whole body.
        timeout_s: For the whole body.

    Raises:
        HttpError: It is no form, is too large, or takes too long.
        ClientDisconnect: The caller left.
    """
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        message = f"Unsupported content type: '{content_type[:100]}'. This API method only accepts multipart/form-data."
        raise HttpError(415, message, code="unsupported_content_type")
    body = _Body(receive, max_bytes)
    try:
        body.check_length(request.headers.get("content-length"))
        async with asyncio.timeout(timeout_s):
            return await _parsed(Request(request.scope, body.receive))
    except TimeoutError:
        raise HttpError(408, f"The body did not arrive within {timeout_s:g} s.", code="request_timeout") from None
    except (MultiPartException, ValueError) as exc:
        raise HttpError(400, f"The body is not a valid form: {exc}", code="invalid_form") from exc
    except HttpError:
        await body.drain()
        raise


async def _parsed(request: Request) -> Form:
    parser = MultiPartParser(
        request.headers, request.stream(), max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
    )
    try:
        data = await parser.parse()
    except KeyError:  # its way to say that the header names none
        raise MultiPartException("its content type names no boundary") from None
    form = Form()
    try:
        for name, value in data.multi_items():
            if isinstance(value, UploadFile):
                form.files.setdefault(name, []).append(await value.read())
            else:
                form.texts.setdefault(name, []).append(value)
    finally:
        await data.close()
    return form


class _Body:
    """Counts the bytes of a body, and refuses one that is too large."""

    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self._receive, self._max_bytes, self._bytes, self._more = receive, max_bytes, 0, True

    def check_length(self, stated: str | None) -> None:
        if stated is not None and stated.isdecimal() and int(stated) > self._max_bytes:
            raise self._too_large()

    async def receive(self) -> Message:
        message = await self._next()
        if self._bytes > self._max_bytes:
            raise self._too_large()
        return message

    async def drain(self) -> None:
        """Read on for a while, so that a caller that is still sending gets to read the response."""
        most = 2 * self._max_bytes
        try:
            async with asyncio.timeout(_DRAIN_S):
                while self._more and self._bytes <= most:
                    await self._next()
        except TimeoutError:
            return

    async def _next(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        self._more = message["type"] == "http.request" and message.get("more_body", False)
        return message

    def _too_large(self) -> HttpError:
        message = f"The body is too large; at most {self._max_bytes} bytes are accepted."
        return HttpError(413, message, code="request_too_large")

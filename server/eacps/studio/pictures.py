"""Pictures in and out, and as browsers show them."""

import asyncio
import io
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from eacps.client import AsyncClient, CallFailed, v1
from eacps.client.file_names import suffix_of
from eacps.imaging import TRUSTED, decode_picture, encode_png
from eacps.studio.failures import BrokenOff, RequestRefused
from eacps.studio.messages import message_response

_ARTIFACT, _SEARCH, _CANDIDATE = r"[0-9a-f]{64}", r"[0-9a-f]{32}", r"[A-Za-z0-9_-]{1,64}"
_SIZES = (256, 512, 1024)
"""Longest sides in pixels in which pictures are shown before anyone asks for all of their pixels."""
_QUALITY = 88
_FOREVER = {"cache-control": "private, max-age=31536000, immutable", "vary": "cookie"}
"""A picture that is named by its hash never changes."""
_SHOWN_BY_BROWSERS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}
_CONVERTED_AT_ONCE = asyncio.Semaphore(2)


def path_id(request: Request, name: str) -> str:
    """Return an id from the path of a request.

    Raises:
        RequestRefused: It is none.
    """
    pattern = {"artifact": _ARTIFACT, "search": _SEARCH, "candidate": _CANDIDATE}[name]
    text = str(request.path_params[name])
    if not re.fullmatch(pattern, text):
        raise RequestRefused(404, "NOT_FOUND", f"{text[:80]!r} is no id of a {name}")
    return text


def client_of(request: Request) -> AsyncClient:
    """Return the client of the browser that asks."""
    client: AsyncClient = request.app.state.sessions.client_of(request)
    return client


async def _upload(request: Request) -> Response:
    """Take a picture in, as it comes."""
    answer = await client_of(request).upload_chunks(request.stream())
    return JSONResponse({"artifact": answer.image.artifact, "notes": list(answer.notes)})


async def _sample(request: Request) -> Response:
    """Return a bundled picture."""
    data = request.app.state.samples.read(request.path_params["name"], request.path_params["kind"])
    if data is None:
        raise RequestRefused(404, "NOT_FOUND", "there is no such sample")
    return Response(data, media_type="image/png")


async def _faces(request: Request) -> Response:
    """Return the faces of a picture."""
    picture = v1.Image(artifact=path_id(request, "artifact"))
    return message_response(await client_of(request).detect_faces(picture))


async def _view(request: Request) -> Response:
    """Return a picture as browsers show it: with ``size`` scaled down to it, else with all of its pixels."""
    data = await client_of(request).download(path_id(request, "artifact"))
    return await picture_response(data, request, _FOREVER)


async def picture_response(data: bytes, request: Request, headers: dict[str, str]) -> Response:
    """Return the bytes of a picture as a browser shows them, of the size that the request names."""
    size = request.query_params.get("size")
    if size is None:
        for magic, kind in _SHOWN_BY_BROWSERS.items():
            if data.startswith(magic):
                return Response(data, media_type=kind, headers=headers)
        return Response(await _converted(data, None), media_type="image/png", headers=headers)
    if size not in {str(one) for one in _SIZES}:
        raise RequestRefused(400, "INVALID_SIZE", f"size is one of {', '.join(map(str, _SIZES))}")
    return Response(await _converted(data, int(size)), media_type="image/webp", headers=headers)


async def _converted(data: bytes, size: int | None) -> bytes:
    async with _CONVERTED_AT_ONCE:
        return await run_in_threadpool(_encoded, data, size)


def _encoded(data: bytes, size: int | None) -> bytes:
    """Return a picture upright and in sRGB: PNG, or with a size WebP of at most that many pixels a side."""
    pixels = decode_picture(data, TRUSTED)
    if size is None:
        return encode_png(pixels)
    picture, encoded = Image.fromarray(pixels), io.BytesIO()
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    picture.save(encoded, "WEBP", quality=_QUALITY)
    return encoded.getvalue()


async def _download(request: Request) -> Response:
    """Stream the file of a picture, byte by byte as the server keeps it."""
    artifact = path_id(request, "artifact")
    return await attached(client_of(request).download_chunks(artifact), artifact[:12])


async def attached(chunks: AsyncGenerator[bytes, None], name: str) -> Response:
    """Return chunks as a file for the browser to save; its suffix is that of its format."""
    first = await anext(chunks)
    headers = {"content-disposition": f'attachment; filename="{name}{_suffix_of(first)}"'}
    return StreamingResponse(_rest(first, chunks), media_type="application/octet-stream", headers=headers)


async def _rest(first: bytes, chunks: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    yield first
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk
    except CallFailed as exc:
        raise BrokenOff(str(exc)) from exc


def _suffix_of(first: bytes) -> str:
    kinds = {"image/jpeg": ".jpg", "image/webp": ".webp"}
    for magic, kind in _SHOWN_BY_BROWSERS.items():
        if first.startswith(magic) and kind in kinds:
            return kinds[kind]
    try:
        return suffix_of(first)
    except ValueError:
        return ""


PICTURE_ROUTES = (
    Route("/api/pictures", _upload, methods=["POST"]),
    Route("/api/pictures/{artifact}", _view),
    Route("/api/pictures/{artifact}/faces", _faces),
    Route("/api/pictures/{artifact}/file", _download),
    Route("/api/samples/{name}/{kind}.png", _sample),
)

"""The application: its routes, and what its answers have in common."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from importlib import resources

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from eacps.client import CallFailed, InvalidSettings
from eacps.studio.failures import RequestRefused, UnfinishedResponses, on_call_failed, on_refused
from eacps.studio.guard import RequestGuard, json_body
from eacps.studio.pictures import PICTURE_ROUTES
from eacps.studio.samples import StudioSamples
from eacps.studio.searches import SEARCH_ROUTES
from eacps.studio.sessions import Sessions

TOKEN = "token"
_KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html; charset=utf-8"}
_VIEWS = (
    "/",
    "/history",
    "/picks",
    "/batches",
    "/batches/{name}",
    "/searches/{search}",
    "/searches/{search}/{candidate}",
)
_SHARED = ("objective.js", "search_plot.js")
"""Shared with the page that ``eacps review`` writes."""


def studio_app(sessions: Sessions, samples: StudioSamples, *, hosts: Collection[str] = ()) -> Starlette:
    """Return the application.

    Args:
        sessions: Who asks.
        samples: Bundled pictures.
        hosts: Names by which it may be called; see `RequestGuard`.
    """
    files = _page_files()

    async def page(request: Request) -> Response:
        token = request.query_params.get(TOKEN)
        if token is not None:
            response: Response = RedirectResponse(request.url.path, 303)
            await sessions.open_by_link(token, request, response)
            return response
        return Response(files["index.html"], media_type=_KINDS[".html"], headers={"cache-control": "no-cache"})

    async def missing(request: Request) -> Response:
        # The page says in its own form that it has no such view.
        if request.path_params["path"].partition("/")[0] in ("api", "static"):
            return Response("Not Found", 404)
        return Response(files["index.html"], 404, media_type=_KINDS[".html"], headers={"cache-control": "no-cache"})

    async def static(request: Request) -> Response:
        name = str(request.path_params["name"])
        if (data := files.get(name)) is None:
            return Response("there is no such file", 404)
        kind = _KINDS[name[name.rindex(".") :]]
        return Response(data, media_type=kind, headers={"cache-control": "no-cache"})

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.stopping = asyncio.Event()
        yield
        await sessions.close()

    app = Starlette(
        routes=[
            *(Route(path, page) for path in _VIEWS),
            Route("/static/{name}", static),
            Route("/api/session", open_session, methods=["POST"]),
            Route("/api/session", close_session, methods=["DELETE"]),
            *SEARCH_ROUTES,
            *PICTURE_ROUTES,
            Route("/{path:path}", missing),
        ],
        middleware=[Middleware(UnfinishedResponses), Middleware(RequestGuard, hosts=hosts)],
        exception_handlers={CallFailed: on_call_failed, RequestRefused: on_refused},
        lifespan=lifespan,
    )
    app.state.sessions, app.state.samples = sessions, samples
    return app


async def open_session(request: Request) -> Response:
    """Take the API key of a browser."""
    try:
        key = str(json.loads(await json_body(request))["key"])
    except (ValueError, KeyError, TypeError) as exc:
        raise RequestRefused(400, "UNREADABLE", "the request has no key") from exc
    response = Response(status_code=204)
    try:
        await request.app.state.sessions.open_by_key(key, request, response)
    except InvalidSettings as exc:
        raise RequestRefused(400, "INVALID_KEY", str(exc)) from exc
    return response


async def close_session(request: Request) -> Response:
    """Forget the API key of a browser."""
    response = Response(status_code=204)
    await request.app.state.sessions.forget(request, response)
    return response


def _page_files() -> dict[str, bytes]:
    """Return the files that the browser loads, by name."""
    folder = resources.files("eacps.studio") / "page"
    files = {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}
    shared = resources.files("eacps.drawing") / "review"
    return files | {name: (shared / name).read_bytes() for name in _SHARED}

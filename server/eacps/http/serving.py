"""Runs an ASGI application until it is told to stop."""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eacps.errors import AddressUnavailable
from eacps.http.connections import ConnectionLimits, bounded

_GRACE_S = 5
_BACKLOG = 64
"""Connections that are accepted at once, before they can be counted."""
_LIMITS = ConnectionLimits()


@asynccontextmanager
async def serving_http(
    app: ASGIApp,
    host: str,
    port: int,
    certificate: tuple[Path, Path] | None = None,
    limits: ConnectionLimits = _LIMITS,
) -> AsyncGenerator[int, None]:
    """Serve within the block, and yield the port. Requests that are not done at its end are cancelled after 5 s.

    Args:
        app: What to serve.
        host: Address or name to listen on.
        port: 0 takes a free one.
        certificate: PEM files of the certificate and its key; None serves without TLS. Files that are replaced are read
            again, so that renewal needs no restart.
        limits: Of connections.

    Raises:
        AddressUnavailable: The address is taken or is not this machine's, or the certificate cannot be used.
    """
    if certificate is not None and (error := _unusable(certificate)):
        raise AddressUnavailable(f"the certificate for {host} cannot be used: {error}") from error
    listener = _listener(host, port)
    try:
        config = uvicorn.Config(
            _answering_cancelled(app),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=_GRACE_S,
            ssl_certfile=certificate[0] if certificate else None,
            ssl_keyfile=certificate[1] if certificate else None,
        )
        config.load()
        config.http_protocol_class = bounded(config.http_protocol_class, limits)
        if certificate is not None and config.ssl is not None:
            _follow(certificate, config.ssl)
        server = _Server(config, limits.head_timeout_s)
        task = asyncio.ensure_future(server.serve(sockets=[listener]))
        try:
            while not server.started and not task.done():
                await asyncio.sleep(0.01)
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = True
            await task
    finally:
        listener.close()


def _answering_cancelled(app: ASGIApp) -> ASGIApp:
    """Wrap an application: requests that the stopping server cancels are answered with 503.

    uvicorn would log a traceback for each of them, and for each whose caller leaves before its body is complete.

    Args:
        app: Raises `ClientDisconnect` where a caller has left.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        begun = False

        async def send_noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await app(scope, receive, send_noted)
        except ClientDisconnect:
            return  # nobody reads an answer
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                raise  # not by the server
            if not begun:
                await PlainTextResponse("the server is stopping", 503)(scope, receive, send)

    return answer


class _Server(uvicorn.Server):
    """Leaves signals to the command that runs it, and limits the time of TLS handshakes.

    Args:
        config: Settings of uvicorn.
        handshake_timeout_s: Longest time of a handshake, for which asyncio allows a minute.
    """

    def __init__(self, config: uvicorn.Config, handshake_timeout_s: float) -> None:
        super().__init__(config)
        self._handshake_timeout_s = handshake_timeout_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then listen: uvicorn would not pass on the timeout."""
        await super().startup(sockets=[])
        self.started = False
        protocol: Callable[[], asyncio.Protocol] = partial(
            self.config.http_protocol_class,  # type: ignore[call-arg]  # uvicorn's type says only that it is a protocol
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        loop, tls = asyncio.get_running_loop(), self.config.ssl
        for listener in sockets or []:
            self.servers.append(
                await loop.create_server(
                    protocol,
                    sock=listener,
                    ssl=tls,
                    backlog=self.config.backlog,
                    ssl_handshake_timeout=self._handshake_timeout_s if tls else None,
                )
            )
        self.started = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _unusable(certificate: tuple[Path, Path]) -> Exception | None:
    """Return why the files of a certificate and its key cannot be used; None if they can."""
    try:
        # An empty password, so that nobody is asked for the one of an encrypted key.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*certificate, password="")
    except (OSError, ValueError) as exc:
        return exc
    return None


def _follow(certificate: tuple[Path, Path], context: ssl.SSLContext) -> None:
    """Reload the certificate when its files were replaced; later connections use the new one."""
    seen = _stamps(certificate)

    def renew(*_: object) -> None:
        nonlocal seen
        try:
            stamps = _stamps(certificate)
            if stamps == seen or _unusable(certificate):
                return  # unchanged, or only one of the two is replaced yet: keep the current certificate
            context.load_cert_chain(*certificate)
        except OSError:
            return  # the files are just being replaced
        seen = stamps

    context.sni_callback = renew


def _stamps(files: tuple[Path, Path]) -> tuple[int, ...]:
    return tuple(path.stat().st_mtime_ns for path in files)


def _listener(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as exc:
        raise AddressUnavailable(f"cannot listen on {host}:{port}: {exc.strerror or exc}") from exc
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as exc:
        listener.close()
        raise AddressUnavailable(f"cannot listen on {host}:{port}: {exc.strerror or exc}") from exc
    return listener

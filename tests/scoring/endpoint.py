"""A local HTTP server that stands where a provider would: it speaks on the wire, and as badly as a test asks."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[BaseHTTPRequestHandler, int], None]


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """Answer one call."""
    handler.send_response(status)
    for name, value in ({"content-type": "application/json"} | headers).items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


class Endpoint:
    """`reply` answers call number n, counted from 1; paths, headers, bodies and the peak of calls are kept."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.peak = 0
        self.url = ""
        self._active = 0
        self._lock = threading.Lock()

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """Take one call."""
        body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        with self._lock:
            self.paths.append(handler.path)
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
            self.bodies.append(body)
            number = len(self.bodies)
            self._active += 1
            self.peak = max(self.peak, self._active)
        try:
            self.reply(handler, number)
        except (BrokenPipeError, ConnectionResetError):
            pass  # The client gave up on a slow answer: that is the point of some tests.
        finally:
            with self._lock:
                self._active -= 1


@contextmanager
def listening(endpoint: Endpoint) -> Iterator[Endpoint]:
    """Serve on a free port until the block ends; ``endpoint.url`` says where."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            endpoint.handle(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""A Hugging Face hub of one model on this machine, as far as fetching it goes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serving_hub(model: str, folder: Path) -> Iterator[str]:
    """Serve the files of ``folder`` as ``model``, at one commit; gives the hub's address."""

    files = {
        path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()
    }

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def log_message(self, *arguments: object) -> None:
            """Log nothing."""

        def _answer(self, *, with_body: bool) -> None:
            path = unquote(urlparse(self.path).path)
            resolved = f"/{model}/resolve/"
            if path.startswith(f"/api/models/{model}"):
                answer = self._tree() if "/tree/" in path else self._model()
                self._send(json.dumps(answer).encode(), {"Content-Type": "application/json"}, with_body)
            elif path.startswith(resolved) and (file := folder / path[len(resolved) :].split("/", 1)[1]).is_file():
                content = file.read_bytes()
                etag = hashlib.sha256(content).hexdigest()
                self._send(content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, with_body)
            else:
                self.send_error(404)

        def _model(self) -> dict[str, object]:
            return {"id": model, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}

        def _tree(self) -> list[dict[str, object]]:
            return [
                {"type": "file", "path": name, "size": size, "oid": hashlib.sha1(name.encode()).hexdigest()}
                for name, size in files.items()
            ]

        def _send(self, content: bytes, headers: dict[str, str], with_body: bool) -> None:
            self.send_response(200)
            for name, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""Browsers that leave or sign out in the midst of a request, and a studio that ends in it: no errors of the studio."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from eacps.client import Client
from tests.client.test_client import noisy
from tests.studio.conftest import ADA, SAMPLES, started
from tests.studio.test_access import Asking

UPLOAD, SEARCH = "/api/pictures", "/api/searches"


def signed_in(shown: dict[str, str]) -> Asking:
    """A browser of Ada's."""
    ask = Asking(shown["url"].removeprefix("http://").rstrip("/"))
    assert ask.sign_in(ADA).status == 204
    return ask


@contextmanager
def begun(ask: Asking, path: str) -> Iterator[socket.socket]:
    """A connection on which a request is being sent, and is not all there yet."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {ask.address}\r\nOrigin: http://{ask.address}\r\nCookie: {ask.cookie}\r\n"
        "Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    )
    name, _, port = ask.address.rpartition(":")
    with socket.create_connection((name, int(port)), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 "), "its body is being read"
        connection.sendall(bytes(1000))
        yield connection


def answer(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of the response."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read()


@pytest.mark.parametrize("path", [UPLOAD, SEARCH])
def test_requests_that_are_not_all_there(keyed: str, path: str) -> None:
    words = ("studio", "--server", keyed, "--listen", "127.0.0.1:0", "--no-browser", "--samples", SAMPLES)
    with started(*words) as (process, shown):
        with begun(signed_in(shown), path):
            pass
        ask = signed_in(shown)
        with begun(ask, path) as connection:
            assert ask("DELETE", "/api/session").status == 204
            if path == UPLOAD:
                status, body = answer(connection)
                assert (status, json.loads(body)["reason"]) == (409, "CLIENT_CLOSED")
        with begun(signed_in(shown), path) as connection:
            process.terminate()
            log = "".join(process.communicate(timeout=60))
            assert answer(connection)[0] == 503
    assert process.returncode == 0
    assert "Traceback" not in log
    assert [line for line in log.splitlines() if "ERROR" in line and "Cancel 1 running task(s)" not in line] == []


def test_a_download_that_breaks_off_is_no_whole_file(keyed: str) -> None:
    words = ("studio", "--server", keyed, "--listen", "127.0.0.1:0", "--no-browser", "--samples", SAMPLES)
    with Client(keyed, api_key=ADA) as client:
        artifact = client.upload(noisy(2500)).artifact
    with started(*words) as (process, shown):
        ask = signed_in(shown)
        with closing(http.client.HTTPConnection(ask.address, timeout=20)) as connection:
            connection.request("GET", f"/api/pictures/{artifact}/file", headers={"cookie": ask.cookie})
            response = connection.getresponse()
            assert response.status == 200
            assert ask("DELETE", "/api/session").status == 204
            with pytest.raises(http.client.IncompleteRead):
                response.read()
        process.terminate()
        log = "".join(process.communicate(timeout=60))
    assert "Traceback" not in log
    assert "a response broke off: CANCELLED: the client was closed" in " ".join(log.split())

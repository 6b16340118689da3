"""Who may ask the studio for what: keys, links, foreign pages, paths. Over a real server that knows two tenants."""

import http.client
import json
import ssl
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from eacps.client import Client, v1
from tests.api.certificates import Authority
from tests.cli.conftest import toy_server
from tests.cli.searches import picture
from tests.studio.conftest import ADA, BOB, started

HASH, ID = "0" * 64, "0" * 32


class Answer(NamedTuple):
    """What the studio answered."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Asking:
    """Asks a studio as a browser would, unless it is told otherwise.

    Args:
        address: ``host:port``.
        root: Root certificate of a studio with TLS; None asks one without.
    """

    def __init__(self, address: str, root: Path | None = None) -> None:
        self.address, self.cookie, self._root = address, "", root

    def __call__(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Ask; keyword arguments are headers, with ``_`` for ``-``, and empty ones are left out."""
        scheme = "https" if self._root else "http"
        sent = {"host": self.address, "origin": f"{scheme}://{self.address}", "cookie": self.cookie}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = (
            http.client.HTTPSConnection(self.address, timeout=60, context=ssl.create_default_context(cafile=self._root))
            if self._root
            else http.client.HTTPConnection(self.address, timeout=60)
        )
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {**sent, "content-length": str(len(body or b""))}.items():
            if value:
                connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        answer = Answer(
            response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}
        )
        connection.close()
        return answer

    def sign_in(self, key: str) -> Answer:
        answer = self("POST", "/api/session", json.dumps({"key": key}).encode())
        self.cookie = answer.headers.get("set-cookie", "").partition(";")[0]
        return answer


@pytest.fixture
def ask(keyed_studio: str) -> Asking:
    """A browser that nobody has used."""
    return Asking(keyed_studio.removeprefix("http://"))


def test_tenants_see_their_own(ask: Asking, keyed: str) -> None:
    assert ask("GET", "/api/searches").status == 401
    assert ask.sign_in("eacps_wrong").status == 401
    assert ask("GET", "/api/searches").status == 401
    assert ask.sign_in("has a space").status == 400
    with Client(keyed, api_key=ADA) as client:
        request = v1.RunSearchRequest(
            scene=v1.Image(data=picture(10)), character=v1.Image(data=picture(100)), prompt="smile"
        )
        request.search.best_of_n.trajectories = 2
        search = client.submit(request)
        scene = client.get(search.search_id).request.scene.artifact
    opened = ask.sign_in(ADA)
    assert opened.status == 204
    assert "secure" not in opened.headers["set-cookie"].lower()
    assert "httponly" in opened.headers["set-cookie"].lower()
    assert "samesite=strict" in opened.headers["set-cookie"].lower()
    assert ADA not in str(opened)
    assert [one["search_id"] for one in ask("GET", "/api/searches").json["searches"]] == [search.search_id]
    picture_of_ada = ask("GET", f"/api/pictures/{scene}?size=256")
    assert picture_of_ada.status == 200
    assert picture_of_ada.headers["content-type"] == "image/webp"
    other = Asking(ask.address)
    other.sign_in(BOB)
    assert other("GET", "/api/searches").json["searches"] == []
    for path in (f"/api/searches/{search.search_id}", f"/api/pictures/{scene}", f"/api/pictures/{scene}/file"):
        assert other("GET", path).status == 404
    assert ask("DELETE", "/api/session").status == 204
    assert ask("GET", "/api/searches").status == 401


def test_other_sites_are_refused(ask: Asking) -> None:
    ask.sign_in(ADA)
    assert ask("GET", "/api/searches").status == 200
    assert ask("GET", "/", host="studio.example.com").status == 403, "DNS rebinding"
    assert ask("GET", "/api/searches", sec_fetch_site="cross-site", sec_fetch_mode="no-cors").status == 403
    assert ask("GET", "/", sec_fetch_site="cross-site", sec_fetch_mode="navigate").status == 200, "a link elsewhere"
    cancel = f"/api/searches/{ID}/cancel"
    for origin in ("http://example.com", "null", "", f"http://{ask.address}.example.com"):
        assert ask("POST", cancel, origin=origin).status == 403
    assert ask("POST", cancel).status == 404
    headers = ask("GET", "/").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2Fapp.py",
        "/static/%2Fetc%2Fpasswd",
        "/api/samples/smile/truth.png",
        "/api/samples/..%2Fsmile/scene.png",
        "/api/pictures/..%2F..%2Fetc%2Fpasswd",
        f"/api/searches/{ID[:-1]}",
        f"/api/searches/{ID}/candidates/..%2Fx/file",
    ],
)
def test_no_file_of_the_machine_is_read(ask: Asking, path: str) -> None:
    ask.sign_in(ADA)
    assert ask("GET", path).status == 404


def test_requests_are_bounded(ask: Asking) -> None:
    ask.sign_in(ADA)
    assert ask("POST", "/api/searches", b" " * (2**20 + 1)).status == 413
    for limit in ("0", "10001", "x", ""):
        assert ask("GET", f"/api/searches?limit={limit}").json["code"] == "INVALID_LIMIT"
    unreadable = ask("POST", "/api/searches", b'{"prompt": 1}')
    assert (unreadable.status, unreadable.json["code"]) == (400, "UNREADABLE")
    violations = ask("POST", "/api/searches", b"{}").json["violations"]
    assert {"search.scene", "search.character", "search.prompt"} <= {one["field"] for one in violations}
    refused = ask("POST", "/api/pictures", b"no picture")
    assert refused.status == 400
    assert refused.json["code"] == "INVALID_ARGUMENT"


def test_a_studio_with_a_key_of_its_own_opens_by_its_link_here_with_tls(keyed: str, tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    certificate, private_key = map(str, ours.issue("studio", "127.0.0.1"))
    tls = {"EACPS_HTTP_TLS_CERTIFICATE": certificate, "EACPS_HTTP_TLS_KEY": private_key}
    words = ("studio", "--server", keyed, "--listen", "127.0.0.1:0", "--no-browser")
    with started(*words, EACPS_API_KEY=ADA, **tls) as (_, told):
        assert told["url"].startswith("https://")
        address, _, token = told["url"].removeprefix("https://").partition("/?token=")
        ask = Asking(address, ours.root)
        assert ask("GET", "/api/searches").json["code"] == "LINK_NEEDED"
        assert ask.sign_in(BOB).status == 403
        assert "set-cookie" not in ask("GET", "/?token=wrong").headers
        opened = ask("GET", f"/searches/{ID}?token={token}")
        assert (opened.status, opened.headers["location"]) == (303, f"/searches/{ID}")
        assert ADA not in str(opened)
        assert "secure" in opened.headers["set-cookie"].lower()
        ask.cookie = opened.headers["set-cookie"].partition(";")[0]
        assert ask("GET", "/api/searches").status == 200


def test_others_than_this_machine_are_not_let_in_without_keys() -> None:
    words = ("--listen", "0.0.0.0:0", "--no-browser")
    with toy_server() as open_to_all, started("studio", "--server", open_to_all, *words) as (process, told):
        assert "admits callers without a key" in str(told)
        assert process.wait(timeout=60) == 2

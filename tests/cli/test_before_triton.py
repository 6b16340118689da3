"""What ``eacps up`` and ``eacps serve`` check before they start or wait for Triton."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eacps.triton.embedded import EmbeddedTriton

Eacps = Callable[..., Any]


@pytest.fixture
def taken() -> Any:
    """Address on which somebody else listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(autouse=True)
def _no_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: EmbeddedTriton) -> None:
        pytest.fail("Triton was started")

    monkeypatch.setattr(EmbeddedTriton, "start", start)
    # `serve` would wait for this one for as long as a test may take.
    monkeypatch.setenv("EACPS_TRITON", "127.0.0.1:9")
    monkeypatch.setenv("EACPS_TRITON_READY_TIMEOUT_S", "3600")


@pytest.mark.parametrize("command", ["up", "serve"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--listen", "0.0.0.0:99999", "--insecure"), "not HOST:PORT"),
        (("--listen", "50051", "--insecure"), "not HOST:PORT"),
        (("--metrics", "9400", "--insecure"), "not HOST:PORT"),
        (("--listen", "0.0.0.0:50051", "--insecure"), "serves others than this machine"),
        ((), "an explicit --insecure"),
        (("--api-keys", "nowhere.json"), "nowhere.json cannot be read"),
    ],
)
def test_what_is_at_fault_is_said_at_once(eacps: Eacps, command: str, words: tuple[str, ...], message: str) -> None:
    done = eacps(command, *words)
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize("option", ["--listen", "--metrics"])
@pytest.mark.parametrize("command", ["up", "serve"])
def test_a_port_that_is_taken_is_named_at_once(eacps: Eacps, taken: str, command: str, option: str) -> None:
    addresses = {"--listen": "127.0.0.1:0", option: taken}
    done = eacps(command, *(word for pair in addresses.items() for word in pair), "--insecure", "--json")
    assert done.exit_code == 2
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["exit_code"]) == ("ADDRESS_UNAVAILABLE", 2)
    assert taken in error["message"]


def test_certificates_are_read_first(eacps: Eacps, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CERTIFICATE", "KEY", "CLIENT_CA"):
        monkeypatch.setenv(f"EACPS_TLS_{name}", str(tmp_path / "nowhere.pem"))
    done = eacps("up", "--json")
    assert done.exit_code == 2
    fields = [violation["field"] for violation in json.loads(done.stdout)["error"]["violations"]]
    assert fields == ["tls_certificate", "tls_key", "tls_client_ca"]


def test_a_server_to_call_is_an_address_too(eacps: Eacps, monkeypatch: pytest.MonkeyPatch) -> None:
    done = eacps("list", "--server", "127.0.0.1:99999")
    assert done.exit_code == 2
    monkeypatch.setenv("EACPS_SERVER", "127.0.0.1")
    monkeypatch.setenv("EACPS_GRACE_S", "soon")
    done = eacps("list", "--json")
    assert done.exit_code == 2
    fields = [violation["field"] for violation in json.loads(done.stdout)["error"]["violations"]]
    assert sorted(fields) == ["EACPS_GRACE_S", "EACPS_SERVER"]

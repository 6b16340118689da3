"""The studio as a process, a search server behind it that can be killed and started again, and a headless Chromium."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from eacps.api import KeyRing
from eacps.api.access import key_digest, new_key
from eacps.client import Client, Retries, v1
from eacps.triton.embedded import EmbeddedTriton
from tests.cli.conftest import toy_server
from tests.cli.searches import picture

ROOT = Path(__file__).parents[2]
EACPS = (sys.executable, "-c", "from eacps.cli.app import main; main()")
SAMPLES = ROOT / "studio_mini" / "samples"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
ADA, BOB, CAROL = (new_key() for _ in range(3))
TENANTS = {"ada": ADA, "bob": BOB, "carol": CAROL}
MANY = 64


@contextmanager
def started(*words: object, **environment: str) -> Iterator[tuple["subprocess.Popen[str]", dict[str, Any]]]:
    """A command in the foreground, and what it says of itself once it serves."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("EACPS_")}
    command = [*EACPS, *map(str, words), "--json"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=clean | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            pytest.fail(f"{' '.join(map(str, words))}: {process.communicate()[1][-2000:]}")
        yield process, json.loads(line)
    finally:
        process.kill()
        process.communicate()


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class KeptServer:
    """A search server over Triton that keeps its searches, and has the same address after it was killed.

    Args:
        triton: ``host:port`` of Triton.
        folder: For its searches.
    """

    def __init__(self, triton: str, folder: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._words = ("serve", "--triton", triton, "--listen", self.address, "--insecure", "--data", folder)
        self._running: Any = None

    def start(self) -> None:
        """Start it, and wait until it serves."""
        self._running = started(*self._words)
        self._running.__enter__()

    def kill(self) -> None:
        """End it at once."""
        self._running.__exit__(None, None, None)

    def client(self) -> Client:
        """A client of it."""
        return Client(self.address, retries=Retries(attempts=3))


@pytest.fixture(scope="package")
def server(triton: EmbeddedTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptServer]:
    """A search server over the shared Triton."""
    server = KeptServer(triton.grpc_url, tmp_path_factory.mktemp("searches"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="package")
def studio(server: KeptServer) -> Iterator[str]:
    """Address of a studio over it, without a slash at its end."""
    words = ("studio", "--server", server.address, "--listen", "127.0.0.1:0", "--no-browser", "--samples", SAMPLES)
    with started(*words) as (_, told):
        yield told["url"].rstrip("/")


@pytest.fixture(scope="package")
def keyed() -> Iterator[str]:
    """Address of a search server over toy models, with three tenants."""
    with toy_server(keys=KeyRing({key_digest(key): name for name, key in TENANTS.items()})) as address:
        yield address


@pytest.fixture(scope="package")
def keyed_studio(keyed: str) -> Iterator[str]:
    """Address of a studio over it, without a key of its own; its log holds no key and no traceback."""
    words = ("studio", "--server", keyed, "--listen", "127.0.0.1:0", "--no-browser", "--samples", SAMPLES)
    with started(*words) as (process, told):
        assert "?" not in told["url"]
        yield told["url"].rstrip("/")
        process.terminate()
        log = "".join(process.communicate(timeout=60))
        assert not [key for key in TENANTS.values() if key in log]
        assert "Traceback" not in log


@pytest.fixture(scope="package")
def many(keyed: str) -> str:
    """Id of a finished search of Carol's with `MANY` candidates."""
    request = v1.RunSearchRequest(
        scene=v1.Image(data=picture(10)), character=v1.Image(data=picture(100)), prompt="make <b>her</b> smile"
    )
    request.search.best_of_n.trajectories = MANY
    with Client(keyed, api_key=CAROL) as client:
        found = client.submit(request)
        assert len([one for one in client.watch(found.search_id) if one.HasField("candidate_scored")]) == MANY
    return found.search_id


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the studio is not opened: pip install playwright", exc_type=ImportError
    )
    if CHROMIUM is None:
        pytest.skip("THE STUDIO IS NOT OPENED: no Chromium here; apt-get install chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


Open = Callable[..., Any]


def signed_in(open_page: Open, path: str = "/", **options: Any) -> Any:
    """Open a page as Carol."""
    page = open_page(path, **options)
    page.get_by_label("API key").fill(CAROL)
    page.get_by_role("button", name="Sign in").click()
    page.locator(".view").wait_for()
    return page


@pytest.fixture
def open_page(browser: Any, studio: str) -> Iterator[Open]:
    """Opens a path of the studio; an error on a page, or a request to anywhere else, fails the test."""
    errors: list[str] = []
    contexts: list[Any] = []

    def heard(message: Any) -> None:
        # What the browser itself reports of answers that a test is about.
        if message.type == "error" and "Failed to load resource" not in message.text:
            errors.append(message.text)

    def asked(request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and not request.url.startswith(studio):
            errors.append(f"asks for {request.url}")

    def opened(path: str = "/", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": WIDE, "accept_downloads": True, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", heard)
        page.on("request", asked)
        page.goto(f"{studio}{path}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []

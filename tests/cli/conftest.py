"""A real search server over the toy landscape, in a thread, for commands that are called as a person would."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from typer.testing import CliRunner

from eacps.api import KeyRing, MessageCodec, Rules, SearchServer, SearchServicer, ServerTls
from eacps.cli.app import app
from eacps.durable.protocols import ConcurrencyLimits
from eacps.evaluation import ExecutionLimits, Services
from eacps.testing import ToyModels, ToyScorer
from tests.api.conftest import engine_over
from tests.cli.searches import picture

RULES = Rules(frozenset({"brightness", "other"}), {"brightness": 0.75, "other": 0.25})
SETTINGS = ("EACPS_", "OPENAI_", "GEMINI_", "GOOGLE_", "MOONDREAM_")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of this machine must not affect a test."""
    for name in [name for name in os.environ if name.startswith(SETTINGS)]:
        monkeypatch.delenv(name)


@pytest.fixture
def _in_a_terminal() -> Iterator[None]:
    """Whoever runs the tests by nohup ignores SIGHUP, and so would they, and what they start."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@contextmanager
def toy_server(
    *, tls: ServerTls | None = None, keys: KeyRing | None = None, is_ready: bool = True, **parts: Any
) -> Iterator[str]:
    """Serve over toy models, or what keywords put in their place, and give the address."""
    started, loop = threading.Event(), asyncio.new_event_loop()
    address, stop = [], asyncio.Event()

    async def ready() -> bool:
        return is_ready

    async def serve() -> None:
        defaults: dict[str, Any] = {
            "models": ToyModels(),
            "scorers": {name: ToyScorer(name) for name in RULES.scorers},
            "limits": ExecutionLimits(retry_delay_s=0.0),
        }

        def open_services() -> Services:
            return Services(**{**defaults, **parts})

        with TemporaryDirectory() as folder:
            async with engine_over(
                MessageCodec(RULES), open_services, Path(folder), concurrency=ConcurrencyLimits()
            ) as kept:
                servicer = SearchServicer(RULES, *kept, open_services)
                server = SearchServer(servicer, address="127.0.0.1:0", is_ready=ready, tls=tls, keys=keys)
                await server.start()
                address.append(f"127.0.0.1:{server.port}")
                started.set()
                await stop.wait()
                await server.stop(lambda: kept[0].stop(0.0), rest_s=0.0)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(timeout=60)
        yield address[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture(scope="session")
def toy() -> Iterator[str]:
    """Address of a search server over toy models."""
    with toy_server() as address:
        yield address


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[str, str]:
    """Files of a scene and a character."""
    scene, character = tmp_path / "scene.png", tmp_path / "character.png"
    scene.write_bytes(picture(10))
    character.write_bytes(picture(100))
    return str(scene), str(character)


@pytest.fixture
def eacps() -> Iterator[Callable[..., Any]]:
    """Runs a command in this process and gives its result; the log of other tests is left as it was."""
    loggers = [logging.getLogger(), logging.getLogger("eacps")]
    before = [(one.level, list(one.handlers)) for one in loggers]
    yield lambda *words: CliRunner().invoke(app, [str(word) for word in words])
    for one, (level, handlers) in zip(loggers, before, strict=True):
        one.setLevel(level)
        one.handlers[:] = handlers

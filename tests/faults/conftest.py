"""Servers that are killed and come back, and a count of what was really asked of Triton."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from eacps.client import Client, Retries, v1
from eacps.triton.embedded import EmbeddedTriton

EACPS = (sys.executable, "-c", "from eacps.cli.app import main; main()")
ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "studio_mini" / "samples" / "smile"
FAULTS = int(os.environ.get("EACPS_FAULTS", "3"))
"""Moments at which a server is killed; ``make test-faults`` tries more."""


class Lasting(EmbeddedTriton):
    """An embedded Triton that can be killed; started again, it is at the same address."""

    def kill(self) -> None:
        """End the server as the kernel does when memory is out: at once."""
        assert self._supervisor is not None
        for child in psutil.Process(self._supervisor.pid).children():
            child.send_signal(signal.SIGKILL)
        self._supervisor.wait(timeout=200)
        self.stop(grace_s=0.0)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Have it answer nothing until the block ends."""
        assert self._supervisor is not None
        processes = psutil.Process(self._supervisor.pid).children(recursive=True)
        for one in processes:
            one.suspend()
        try:
            yield
        finally:
            for one in processes:
                one.resume()

    def generated(self) -> int:
        """Micro-batches that the sampler was asked for."""
        with urlopen(self.metrics_url, timeout=60) as response:
            lines = response.read().decode().splitlines()
        counted = (line for line in lines if line.startswith('nv_inference_request_success{model="sampler"'))
        return sum(int(float(line.rpartition(" ")[2])) for line in counted)


@dataclass
class Served:
    """A search server in a process of its own, that can be killed and started again over the same folder."""

    triton: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: "subprocess.Popen[str] | None" = None

    def start(self) -> str:
        """Start it, at the address that it had before, and give that."""
        words = ["serve", "--triton", self.triton, "--listen", f"127.0.0.1:{self.port}", "--insecure", "--json"]
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                [*EACPS, *words, "--data", str(self.folder / "data"), "--verbose"],
                cwd=ROOT,
                env={**os.environ, **self.environment},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.folder / "server.log").read_text()[-3000:]
        address: str = json.loads(line)["address"]
        self.port = int(address.rpartition(":")[2])
        return address

    def kill(self) -> None:
        """End it at once."""
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def stop(self, timeout_s: float = 200.0) -> int:
        """Ask it to end, and give its status."""
        assert self.process is not None
        self.process.terminate()
        self.process.communicate(timeout=timeout_s)
        return self.process.returncode


@contextmanager
def running_triton(repository: Path, folder: Path) -> Iterator[Lasting]:
    """A Triton until the block ends."""
    triton = Lasting(repository, log_file=folder / "triton.log")
    triton.start()
    try:
        yield triton
    finally:
        triton.stop(grace_s=0.0)


@pytest.fixture(scope="package")
def lasting(model_repository_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lasting]:
    """A Triton of one's own, so that what is counted is one's own."""
    with running_triton(model_repository_dir, tmp_path_factory.mktemp("lasting")) as triton:
        yield triton


@pytest.fixture
def served(lasting: Lasting, tmp_path: Path) -> Iterator[Served]:
    """A search server over it, not started yet."""
    server = Served(lasting.grpc_url, tmp_path)
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()


@contextmanager
def client_of(address: str) -> Iterator[Client]:
    """A client that is patient enough for a server to come back."""
    with Client(address, retries=Retries(attempts=40, first_s=0.2, most_s=1.0)) as client:
        yield client


def request(**fields: object) -> v1.RunSearchRequest:
    """A search of eight micro-batches over two rounds, of some seconds."""
    defaults: dict[str, object] = {
        "scene": v1.Image(data=(SAMPLE / "scene.png").read_bytes()),
        "character": v1.Image(data=(SAMPLE / "character.png").read_bytes()),
        "prompt": (SAMPLE / "prompt.txt").read_text().strip(),
        "sampler": v1.SamplerSettings(steps=4),
        "search": v1.SearchSettings(
            eacps=v1.EacpsSettings(global_candidates=8, parents=2, children_per_parent=4, local_rounds=1),
            random_seed=3,
            micro_batch=2,
        ),
    }
    return v1.RunSearchRequest(**{**defaults, **fields})  # type: ignore[arg-type]


BATCHES = 8


def pictures_of(events: list[v1.SearchEvent]) -> dict[str, str]:
    """Pixels of every candidate, by id; each was told of once."""
    scored = [event.candidate_scored for event in events if event.HasField("candidate_scored")]
    assert len({one.candidate_id for one in scored}) == len(scored)
    return {one.candidate_id: one.picture_sha256 for one in scored}


def essence_of(events: list[v1.SearchEvent]) -> tuple[str, float, dict[str, list[float]]]:
    """What a search found: its best, what that is worth, and everyone's scores."""
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    finished = events[-1].finished
    scores = {
        event.candidate_scored.candidate_id: [one.value for one in event.candidate_scored.evaluation.scores]
        for event in events
        if event.HasField("candidate_scored")
    }
    return finished.best_candidate_id, finished.evaluation.potential, scores


def wait_until(done: "object", timeout_s: float = 200.0) -> None:
    """Wait for a condition, given as a function."""
    end = time.monotonic() + timeout_s
    while not done():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)

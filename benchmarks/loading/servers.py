"""The servers that are put under load: in processes of their own, so that what they cost can be read."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from eacps.triton.embedded import EmbeddedTriton

FREE = "free"
STUDIO_MINI = "studio-mini"


@dataclass
class Server:
    """A search server that can be killed and started again over the same folder.

    Attributes:
        command: Starts it; says where it listens, as one line of JSON.
        log: Where its log goes.
        triton: Process of its Triton; None where there is none.
        environment: Of its process, beside that of this one.
    """

    command: list[str]
    log: Path
    triton: psutil.Process | None = None
    port: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def start(self) -> str:
        """Start it, at the address that it had before, and give that."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*self.command, "--listen", f"127.0.0.1:{self.port}"],
                env={**os.environ, **self.environment},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        if self.process.stdout is None or not (line := self.process.stdout.readline()):
            raise RuntimeError(f"the server did not start; its log: {self.log}")
        address: str = json.loads(line)["address"]
        self.port = int(address.rpartition(":")[2])
        return address

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    def resident_bytes(self) -> int:
        """Memory of the server's own process."""
        return 0 if self.process is None else int(psutil.Process(self.process.pid).memory_info().rss)

    def descriptors(self) -> int:
        """Open file descriptors of the server's own process."""
        return 0 if self.process is None else int(psutil.Process(self.process.pid).num_fds())

    def processor_s(self) -> float:
        """Processor time so far of the server, its decoders and its Triton."""
        found = [] if self.process is None else [psutil.Process(self.process.pid)]
        found += [] if self.triton is None else [self.triton]
        return sum(_spent(one) for root in found for one in [root, *root.children(recursive=True)])


@contextmanager
def started(
    models: str, repository: Path, folder: Path, *, size: int = 128, max_searches: int = 8, limited: bool = False
) -> Iterator[Server]:
    """A server over free models or studio-mini, until the block ends.

    Args:
        models: `FREE` or `STUDIO_MINI`.
        repository: Of the models.
        folder: Of logs and data.
        size: Pixels a side of the pictures that free models make.
        max_searches: Searches that run at once over free models.
        limited: Whether the rates of calls of a server over free models have the limits of production.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        words = ["--data", str(folder / "data"), "--json"]
        triton = None
        if models == FREE:
            command = [sys.executable, "-m", "benchmarks.loading.free", *words]
            command += ["--size", str(size), "--max-searches", str(max_searches)]
            command += ["--limited"] if limited else []
        else:
            embedded = stack.enter_context(EmbeddedTriton(repository, log_file=folder / "triton.log"))
            command = [sys.executable, "-c", "from eacps.cli.app import main; main()", "serve", "--insecure", *words]
            command += ["--triton", embedded.grpc_url]
            triton = next(one for one in psutil.Process().children() if "supervisor.py" in " ".join(one.cmdline()))
        server = Server(command, folder / "server.log", triton)
        server.start()
        try:
            yield server
        finally:
            server.kill()


async def idle(server: Server, *, below: float = 0.05, longest_s: float = 30.0) -> float:
    """Wait until a server has nothing to do, and give how long that took, in seconds."""
    begun = asyncio.get_running_loop().time()
    while (waited := asyncio.get_running_loop().time() - begun) < longest_s:
        before = server.processor_s()
        await asyncio.sleep(0.25)
        if server.processor_s() - before < below * 0.25:
            return waited
    return longest_s


def _spent(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)

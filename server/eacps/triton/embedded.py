"""A Triton Inference Server as a child process: without container or GPU, ends with its parent.

``EmbeddedTriton`` serves one model repository with the ``tritonserver`` of the wheel ``nvidia-pytriton`` on free
ports of the loopback interface. It does not know which models are served or how to call them; see ``gateway``.
"""

import http.client
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from eacps.errors import TritonNotInstalled, TritonUnavailable
from eacps.triton import installation, launch
from eacps.triton.launch import Ports

DEFAULT_READY_TIMEOUT_S = 120.0
DEFAULT_GRACE_S = 3.0  # unloading every model takes longer, and nothing is lost when it is cut short
ORPHAN_GRACE_S = 3.0
START_ATTEMPTS = 5

_log = logging.getLogger(__name__)
_POLL_S = 0.05
_REQUEST_TIMEOUT_S = 5.0
_PORT_TAKEN = "already in use"
# The Python backend dies of this now and then while models load, on other people's machines too (tensorrtllm_backend
# issues 349, 354 and 521), and starts the next time.
_BACKEND_RACE = "boost::interprocess::lock_exception"
_PROBLEM = re.compile(r"E\d{4} |error:")  # how Triton marks errors in its log
_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_TAIL_LINES = 15
_PROBLEM_LINES = 5
_MAX_LINE = 400


class EmbeddedTriton:
    """One embedded Triton and its lifetime. Blocking; from asyncio call ``start`` and ``stop`` in a thread.

    The server ends with ``stop`` or the end of the ``with`` block, and by itself when this process ends in any other
    way, SIGKILL included. Several may run side by side.

    Args:
        model_repository: Folder of models with complete configurations.
        log_file: Where the server's and the models' output goes; emptied at the start. Its folder is made if needed.
        work_dir: Where to make a private folder of links, removed at the end; the system's temporary folder by default.
            See `launch.make_scratch`.
        ready_timeout_s: How long loading all models may take.
        extra_args: Further options of ``tritonserver``, after ours.
    """

    def __init__(
        self,
        model_repository: Path,
        *,
        log_file: Path,
        work_dir: Path | None = None,
        ready_timeout_s: float = DEFAULT_READY_TIMEOUT_S,
        extra_args: Sequence[str] = (),
    ) -> None:
        self.model_repository = Path(model_repository).absolute()
        self.log_file = Path(log_file).absolute()
        self.work_dir = None if work_dir is None else Path(work_dir).absolute()
        self.ready_timeout_s = ready_timeout_s
        self.extra_args = tuple(extra_args)
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._ports: Ports | None = None
        self._kept: Ports | None = None

    @property
    def grpc_url(self) -> str:
        """``127.0.0.1:PORT`` of the gRPC endpoint.

        Raises:
            TritonUnavailable: The server is not running.
        """
        return f"127.0.0.1:{self._open_ports().grpc}"

    @property
    def metrics_url(self) -> str:
        """Address of the Prometheus metrics; raises as ``grpc_url`` does."""
        return f"http://127.0.0.1:{self._open_ports().metrics}/metrics"

    @property
    def running(self) -> bool:
        """Whether the server was started and has not ended since, by itself or by ``stop``."""
        return self._supervisor is not None and self._supervisor.poll() is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until every model is ready.

        Raises:
            TritonNotInstalled: Something is missing on this machine; the message names it and how to fix it.
            TritonUnavailable: The server ended or was not ready in time; the message ends with its last log lines.
                Also raised when it is running already.
        """
        if self._supervisor is not None:
            raise TritonUnavailable("this embedded Triton is running already; another server needs another object")
        checks = installation.check_installation(self.model_repository, work_dir=self.work_dir)
        if failures := installation.describe_failures(checks):
            raise TritonNotInstalled(f"the embedded Triton cannot run on this machine:\n{failures}")
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        if self._kept is None:
            self.log_file.write_bytes(b"")
        deadline = time.monotonic() + self.ready_timeout_s
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                self._start_once(deadline)
            except _ChanceError as error:
                self.stop(grace_s=0.0)
                if attempt == START_ATTEMPTS:
                    raise
                _log.warning("starting Triton again, attempt %d of %d: %s", attempt + 1, START_ATTEMPTS, error)
            except BaseException:
                self.stop(grace_s=0.0)
                raise
            else:
                return

    def restart(self) -> None:
        """Restart a server that has exited, on the same ports; its log is continued.

        Raises:
            TritonNotInstalled, TritonUnavailable: See ``start``; also if somebody else has taken its ports.
        """
        self.stop(grace_s=0.0)
        self.start()

    def stop(self, grace_s: float = DEFAULT_GRACE_S) -> None:
        """End the server and everything it started. Does nothing when it is not running.

        Args:
            grace_s: Seconds that requests in flight may take; after them the server is killed.
        """
        supervisor, self._supervisor, self._ports = self._supervisor, None, None
        if supervisor is None:
            return
        try:
            supervisor.communicate(f"{grace_s}\n".encode(), timeout=grace_s + 10.0)
        except subprocess.TimeoutExpired:
            supervisor.kill()  # the kernel kills the server with it
            supervisor.wait()

    def _open_ports(self) -> Ports:
        if self._ports is None:
            raise TritonUnavailable("the embedded Triton is not running")
        return self._ports

    def _start_once(self, deadline: float) -> None:
        """One start on freshly chosen ports."""
        ports = Ports(*self._choose_ports())
        log_start = self.log_file.stat().st_size
        self._supervisor = self._launch(ports)
        self._await(lambda: _answers(ports.http, "/v2/health/ready"), "loading the models", deadline, log_start)
        self._await(lambda: _answers(ports.metrics, "/metrics"), "opening its metrics", deadline, log_start)
        self._await(lambda: _grpc_ready(ports.grpc), "opening gRPC", deadline, log_start)
        self._check_models(ports, log_start)
        self._ports = self._kept = ports

    def _choose_ports(self) -> Sequence[int]:
        kept = self._kept
        if kept is not None:  # so that existing clients find it again
            return kept.grpc, kept.http, kept.metrics
        return installation.find_free_ports(installation.PORTS_NEEDED)

    def _launch(self, ports: Ports) -> "subprocess.Popen[bytes]":
        if self.work_dir is not None:
            self.work_dir.mkdir(parents=True, exist_ok=True)
        scratch = launch.make_scratch(self.work_dir)
        shm_prefix = f"eacps-{os.getpid()}-{uuid.uuid4().hex[:8]}-"
        try:
            launch.link_parts(scratch, self.model_repository)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        job = {
            "command": launch.launch_command(scratch, ports, shm_prefix, self.extra_args),
            "log_file": str(self.log_file),
            "shm_prefix": shm_prefix,
            "scratch": str(scratch),
            "orphan_grace_s": ORPHAN_GRACE_S,
        }
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SUPERVISOR), json.dumps(job)],
                env=launch.environment(scratch),
                stdin=subprocess.PIPE,  # closing it tells the supervisor that this process has exited
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; we end the server in order
            )

    def _await(self, done: Callable[[], bool], what: str, deadline: float, log_start: int) -> None:
        while not done():
            status = 0 if self._supervisor is None else self._supervisor.poll()
            if status is not None:
                raise self._died(status, log_start)
            if time.monotonic() > deadline:
                tail = _log_excerpt(self.log_file, log_start)
                raise TritonUnavailable(f"Triton was still {what} after {self.ready_timeout_s:g} s\n{tail}")
            time.sleep(_POLL_S)

    def _died(self, status: int, log_start: int) -> TritonUnavailable:
        excerpt = _log_excerpt(self.log_file, log_start)
        kind = _ChanceError if _PORT_TAKEN in excerpt or _BACKEND_RACE in excerpt else TritonUnavailable
        return kind(f"Triton ended with status {status} while starting; log: {self.log_file}\n{excerpt}")

    def _check_models(self, ports: Ports, log_start: int) -> None:
        """Every model of the repository is served and ready."""
        index = json.loads(_request(ports.http, "POST", "/v2/repository/index")[1])
        ready = {model["name"] for model in index if model.get("state") == "READY"}
        missing = sorted(set(installation.find_models(self.model_repository)) - ready)
        if missing:
            excerpt = _log_excerpt(self.log_file, log_start)
            raise TritonUnavailable(f"models not ready: {', '.join(missing)}\n{excerpt}")


class _ChanceError(TritonUnavailable):
    """The server ended by chance: another process took a port between our choice and its start, or a race within it."""


def _answers(port: int, path: str) -> bool:
    try:
        return _request(port, "GET", path)[0] == http.client.OK
    except (OSError, http.client.HTTPException):
        return False  # not listening yet


def _request(port: int, method: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_REQUEST_TIMEOUT_S)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _grpc_ready(port: int) -> bool:
    # The connection to the child must not use a proxy from the environment.
    client = InferenceServerClient(f"127.0.0.1:{port}", channel_args=[("grpc.enable_http_proxy", 0)])
    try:
        return bool(client.is_server_ready(client_timeout=_REQUEST_TIMEOUT_S))
    except InferenceServerException:
        return False
    finally:
        client.close()


def _log_excerpt(log_file: Path, start: int) -> str:
    """The server's complaints and its last lines since byte ``start``, without its tables."""
    with log_file.open("rb") as log:
        log.seek(start)
        text = log.read().decode(errors="replace")
    lines = [line[:_MAX_LINE] for line in text.splitlines() if line.strip() and line[0] not in "|+"]
    earlier, tail = lines[:-_TAIL_LINES], lines[-_TAIL_LINES:]
    problems = [line for line in earlier if _PROBLEM.match(line)][-_PROBLEM_LINES:]
    return "\n".join([*problems, *(["..."] if problems else []), *tail])

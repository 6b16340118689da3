"""The embedded Triton: a real server with a trivial Python model, and nothing left of it afterwards."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, InferResult

import eacps.tensors
from eacps.errors import TritonNotInstalled, TritonUnavailable
from eacps.triton import installation
from eacps.triton.embedded import START_ATTEMPTS, EmbeddedTriton

SHARED_MEMORY = Path("/dev/shm")
GONE_WITHIN_S = 8.0

CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: 0
input [ {{ name: "x", data_type: TYPE_FP32, dims: [ -1 ] }} ]
output [ {{ name: "y", data_type: TYPE_FP32, dims: [ -1 ] }} ]
instance_group [ {{ kind: KIND_CPU, count: 1 }} ]
"""

TRIPLE = """
import locale
import sys

import eacps.tensors
import torch
import triton_python_backend_utils as pb_utils

print(f"é: {sys.version_info[:3]} {eacps.tensors.__file__} {torch.__file__} {locale.getpreferredencoding()}")


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            x = torch.from_dlpack(pb_utils.get_input_tensor_by_name(request, "x").to_dlpack())
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor.from_dlpack("y", 3 * x)]))
        return responses
"""
ECHO = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(request, "x") for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor.from_dlpack("y", x.to_dlpack())]) for x in inputs]
"""
BROKEN = """
class TritonPythonModel:
    def initialize(self, args):
        raise ValueError("these weights are broken")
"""
SLOW = """
import time


class TritonPythonModel:
    def initialize(self, args):
        time.sleep(60)
"""


def write_model(repository: Path, name: str, code: str) -> Path:
    """Add a model to ``repository``; returns the repository."""
    version = repository / name / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(code)
    (repository / name / "config.pbtxt").write_text(CONFIG.format(name=name))
    return repository


def infer(url: str, name: str, x: np.ndarray) -> np.ndarray:
    with InferenceServerClient(url) as client:
        tensor = InferInput("x", list(x.shape), "FP32")
        tensor.set_data_from_numpy(x)
        result = client.infer(name, [tensor])
    assert isinstance(result, InferResult)
    return result.as_numpy("y")


def regions(owner_pid: int) -> list[Path]:
    """Shared memory of the servers that process owns; other processes may run servers of their own meanwhile."""
    return list(SHARED_MEMORY.glob(f"eacps-{owner_pid}-*"))


def descendants() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def wait_until_gone(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those still alive after ``GONE_WITHIN_S``."""
    return psutil.wait_procs(processes, timeout=GONE_WITHIN_S)[1]


Started = Callable[[], list[psutil.Process]]


@pytest.fixture(autouse=True)
def started(tmp_path: Path) -> Iterator[Started]:
    """Return the processes that the test has started; none may be left. Other tests' Triton runs on."""
    bystanders, kept = descendants(), regions(os.getpid())

    def of_this_test() -> list[psutil.Process]:
        return [process for process in descendants() if process not in bystanders]

    yield of_this_test
    assert wait_until_gone(of_this_test()) == []
    assert set(regions(os.getpid())) <= set(kept)
    assert list(tmp_path.glob("work/eacps-triton-*")) == []


def test_serves_a_model_and_leaves_nothing_behind(tmp_path: Path, started: Started) -> None:
    repository = write_model(tmp_path / "models", "triple", TRIPLE)
    log_file = tmp_path / "logs" / "triton.log"
    triton = EmbeddedTriton(repository, log_file=log_file, work_dir=tmp_path / "work")
    with triton:
        x = np.arange(5, dtype=np.float32)
        np.testing.assert_array_equal(infer(triton.grpc_url, "triple", x), 3 * x)
        assert triton.metrics_url.startswith("http://127.0.0.1:")
        processes = started()
        assert len(processes) == 3, "supervisor, server, stub"
        assert len(list((tmp_path / "work").iterdir())) == 1
    assert wait_until_gone(processes) == []
    origins = f"é: {sys.version_info[:3]} {eacps.tensors.__file__} {find_spec('torch').origin} UTF-8"
    assert origins in log_file.read_text(encoding="utf-8")
    with pytest.raises(TritonUnavailable, match="not running"):
        _ = triton.grpc_url
    triton.stop()


def test_site_packages_are_left_alone(tmp_path: Path) -> None:
    server_folder = installation.find_server_folder()
    assert server_folder is not None
    before = {path: path.lstat().st_mtime_ns for path in server_folder.rglob("*")}
    with EmbeddedTriton(write_model(tmp_path / "models", "echo", ECHO), log_file=tmp_path / "log"):
        pass
    assert {path: path.lstat().st_mtime_ns for path in server_folder.rglob("*")} == before


def test_two_run_side_by_side_and_stopping_one_spares_the_other(tmp_path: Path) -> None:
    repository = write_model(tmp_path / "models", "echo", ECHO)
    x = np.arange(3, dtype=np.float32)
    with EmbeddedTriton(repository, log_file=tmp_path / "a.log") as first:
        with EmbeddedTriton(repository, log_file=tmp_path / "b.log") as second:
            assert first.grpc_url != second.grpc_url
            np.testing.assert_array_equal(infer(second.grpc_url, "echo", x), x)
        np.testing.assert_array_equal(infer(first.grpc_url, "echo", x), x)
        with pytest.raises(TritonUnavailable, match="running already"):
            first.start()


def test_broken_model_is_reported_with_the_log(tmp_path: Path) -> None:
    repository = write_model(tmp_path / "models", "echo", ECHO)
    write_model(repository, "broken", BROKEN)
    started = time.monotonic()
    with pytest.raises(TritonUnavailable) as raised:
        EmbeddedTriton(repository, log_file=tmp_path / "log", ready_timeout_s=60).start()
    assert time.monotonic() - started < 20
    assert "these weights are broken" in str(raised.value)
    assert "failed to load" in str(raised.value)


def test_readiness_is_bounded_in_time(tmp_path: Path) -> None:
    repository = write_model(tmp_path / "models", "slow", SLOW)
    started = time.monotonic()
    with pytest.raises(TritonUnavailable, match="still loading the models after 2 s"):
        EmbeddedTriton(repository, log_file=tmp_path / "log", ready_timeout_s=2).start()
    assert time.monotonic() - started < 10


def test_death_of_the_server_while_starting_is_noticed_at_once(tmp_path: Path) -> None:
    triton = EmbeddedTriton(write_model(tmp_path / "models", "echo", ECHO), log_file=tmp_path / "log",
                            extra_args=["--no-such-option"])  # fmt: skip
    with pytest.raises(TritonUnavailable, match="ended with status"):
        triton.start()


def test_a_port_lost_to_another_process_is_replaced(tmp_path: Path) -> None:
    class Unlucky(EmbeddedTriton):
        attempts = 0

        def _choose_ports(self) -> list[int]:
            self.attempts += 1
            grpc_port, *others = installation.find_free_ports(3)
            return [taken if self.attempts == 1 else grpc_port, *others]

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with Unlucky(write_model(tmp_path / "models", "echo", ECHO), log_file=tmp_path / "log") as triton:
            assert triton.attempts == 2
            assert triton.grpc_url != f"127.0.0.1:{taken}"


DYING = """
import os, signal, sys, time
from pathlib import Path

class TritonPythonModel:
    def initialize(self, args):
        starts = Path({starts!r})
        starts.write_text(starts.read_text() + "x")
        if len(starts.read_text()) <= {deaths}:
            # What the backend itself prints as it aborts the server.
            print("terminate called after throwing an instance of 'boost::interprocess::lock_exception'", flush=True)
            os.kill(os.getppid(), signal.SIGABRT)
            time.sleep(60)

    def execute(self, requests):
        return []
"""


@pytest.mark.parametrize("deaths", [1, START_ATTEMPTS])
def test_a_death_by_the_backends_own_race_is_tried_again(tmp_path: Path, deaths: int) -> None:
    starts = tmp_path / "starts"
    starts.write_text("")
    repository = write_model(tmp_path / "models", "dying", DYING.format(starts=str(starts), deaths=deaths))
    triton = EmbeddedTriton(repository, log_file=tmp_path / "log")
    if deaths < START_ATTEMPTS:
        with triton:
            assert starts.read_text() == "x" * (deaths + 1)
        return
    with pytest.raises(TritonUnavailable, match="ended with status 134 while starting"):
        triton.start()
    assert starts.read_text() == "x" * START_ATTEMPTS


def test_missing_repository_is_a_named_check(tmp_path: Path) -> None:
    with pytest.raises(TritonNotInstalled, match="model repository: no models in"):
        EmbeddedTriton(tmp_path / "nowhere", log_file=tmp_path / "log").start()


OWNER = """
import sys, time
from pathlib import Path
from eacps.triton.embedded import START_ATTEMPTS, EmbeddedTriton

triton = EmbeddedTriton(Path(sys.argv[1]), log_file=Path(sys.argv[2]), work_dir=Path(sys.argv[3]))
print("starting", flush=True)
triton.start()
print("ready", flush=True)
time.sleep(600)
"""


def start_owner(tmp_path: Path, *, wait_for: str) -> "subprocess.Popen[str]":
    """Another process that owns an embedded Triton, once it has printed ``wait_for``."""
    repository = write_model(tmp_path / "models", "echo", ECHO)
    arguments = [repository, tmp_path / "log", tmp_path / "work"]
    owner = subprocess.Popen([sys.executable, "-c", OWNER, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    for line in owner.stdout:
        if line.strip() == wait_for:
            break
    return owner


@pytest.mark.parametrize("fatal", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_everything_ends_with_the_owner(tmp_path: Path, fatal: signal.Signals) -> None:
    with start_owner(tmp_path, wait_for="ready") as owner:
        processes = psutil.Process(owner.pid).children(recursive=True)
        assert len(processes) == 3, "supervisor, server, stub"
        assert len(regions(owner.pid)) == 1
        os.kill(owner.pid, fatal)
        owner.wait()
    assert wait_until_gone(processes) == []
    assert regions(owner.pid) == []


def test_everything_ends_with_an_owner_that_dies_while_starting(tmp_path: Path) -> None:
    with start_owner(tmp_path, wait_for="starting") as owner:
        processes: list[psutil.Process] = []
        while len(processes) < 2:
            processes = psutil.Process(owner.pid).children(recursive=True)
            time.sleep(0.01)
        owner.kill()
    assert wait_until_gone(processes) == []


def test_death_of_a_running_server_is_seen_and_takes_its_models_along(tmp_path: Path, started: Started) -> None:
    with EmbeddedTriton(write_model(tmp_path / "models", "echo", ECHO), log_file=tmp_path / "log") as triton:
        _, server, *_ = processes = started()
        assert triton.running
        server.kill()
        assert wait_until_gone(processes) == []
        assert not triton.running


def test_everything_ends_with_the_supervisor(tmp_path: Path, started: Started) -> None:
    with EmbeddedTriton(write_model(tmp_path / "models", "echo", ECHO), log_file=tmp_path / "log"):
        processes = started()
        processes[0].kill()
        assert wait_until_gone(processes) == []

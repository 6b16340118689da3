"""Supervise one ``tritonserver``: start it, end it on request or when the parent has exited, and clean up.

A script of its own, run by a bare interpreter (``python -I -S supervisor.py``), because nothing inside the parent can
act once the parent was killed with SIGKILL, and because the signal that the kernel sends on a parent's death is bound
to the thread that started the child. It imports nothing but the standard library.

The job comes as JSON in the only argument (see ``Job``); the server's environment is this process's own. A line on
standard input, a number of seconds, means stop within that time; the end of standard input means that the parent is
gone. The exit status is the server's.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

TICK_S = 0.05
REAP_TIMEOUT_S = 5.0

_SHARED_MEMORY = Path("/dev/shm")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Job:
    """What to keep.

    Attributes:
        command: The server's command line.
        log_file: Where its output is appended.
        shm_prefix: Prefix of its shared memory regions, for removal at the end.
        scratch: Folder to remove at the end.
        orphan_grace_s: Time for the server to end after the parent has exited.
    """

    command: list[str]
    log_file: str
    shm_prefix: str
    scratch: str
    orphan_grace_s: float


def supervise(job: Job) -> int:
    """Run the server to its end.

    Returns:
        Its exit status; 128 + n when signal n killed it.
    """
    parent = os.getppid()
    # Python stubs whose server died become our children, so that we can bury them.
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    server = None
    try:
        server = _start(job)
        if (grace_s := _wait(server, parent, job.orphan_grace_s)) is not None:
            _end(server, grace_s)
    finally:
        status = _bury(server) if server is not None else 1
        _clean(job)
    return status


def _start(job: Job) -> "subprocess.Popen[bytes]":
    def die_with_supervisor() -> None:
        # Should this process be killed too, the kernel takes the server along; its stubs notice by themselves.
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    with open(job.log_file, "ab") as log:
        return subprocess.Popen(
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_supervisor,  # safe: this process has one thread
        )


def _wait(server: "subprocess.Popen[bytes]", parent: int, orphan_grace_s: float) -> float | None:
    """Wait for the server's end (None) or for a reason to end it (seconds it may take)."""
    while not _has_ended(server):
        if os.getppid() != parent:  # catches what the pipe cannot: a forked sibling holding its other end
            return orphan_grace_s
        readable, _, _ = select.select([0], [], [], TICK_S)
        if readable:
            word = os.read(0, 64).decode().strip()
            return float(word) if word else orphan_grace_s
    return None


def _has_ended(server: "subprocess.Popen[bytes]") -> bool:
    # Left unreaped, so that its process id, which is also its group's, cannot go to anyone else meanwhile.
    return os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(server: "subprocess.Popen[bytes]", grace_s: float) -> None:
    os.kill(server.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while not _has_ended(server) and time.monotonic() < deadline:
        time.sleep(TICK_S)


def _bury(server: "subprocess.Popen[bytes]") -> int:
    """Kill what is left of the server's process group and reap all of it."""
    os.killpg(server.pid, signal.SIGKILL)
    status = server.wait()
    deadline = time.monotonic() + REAP_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0:
            time.sleep(TICK_S)
    return status if status >= 0 else 128 - status


def _clean(job: Job) -> None:
    for region in _SHARED_MEMORY.glob(f"{job.shm_prefix}*"):
        region.unlink(missing_ok=True)
    shutil.rmtree(job.scratch, ignore_errors=True)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


if __name__ == "__main__":
    sys.exit(supervise(Job(**json.loads(sys.argv[1]))))

"""A server may open as many descriptors as the system lets it have."""

import resource
import subprocess
import sys

import pytest

from eacps.descriptors import half_of_descriptors

PROGRAM = """
import resource, sys
from eacps.descriptors import allow_descriptors
resource.setrlimit(resource.RLIMIT_NOFILE, tuple(map(int, sys.argv[1:])))
allow_descriptors()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("soft", "hard", "after"), [(256, 4096, "4096 4096"), (512, 512, "512 512")])
def test_the_limit_of_descriptors_is_raised_as_far_as_it_may_be(soft: int, hard: int, after: str) -> None:
    words = [sys.executable, "-c", PROGRAM, str(soft), str(hard)]
    assert subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout.strip() == after


@pytest.mark.parametrize(
    ("soft", "half"),
    [(256, 128), (1, 1), (resource.RLIM_INFINITY, 32_768), (2**40, 2**31 - 1)],
    ids=["even", "one", "unlimited", "more than an int32"],
)
def test_half_of_the_descriptors_is_a_number_of_connections(
    monkeypatch: pytest.MonkeyPatch, soft: int, half: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, resource.RLIM_INFINITY))
    assert half_of_descriptors() == half


LOGGING = """
import logging, os, resource
from rich.console import Console
from eacps.cli.logs import log_to
log_to(Console(stderr=True), level=logging.INFO)
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, 4096))
try:
    open("/dev/null")
except OSError as exc:
    logging.getLogger("asyncio").error("accept: %s", exc, exc_info=exc)
"""


def test_an_error_is_logged_when_no_descriptor_is_left() -> None:
    done = subprocess.run([sys.executable, "-c", LOGGING], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "accept: [Errno 24] Too many open files" in done.stderr

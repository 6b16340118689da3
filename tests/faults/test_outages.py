"""Outages of the database and of the object store, of a second to two minutes: a stored search waits, and goes on."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eacps.client import v1
from tests.faults.conftest import FAULTS, Lasting, Served, client_of, pictures_of, request, wait_until
from tests.faults.outages import Way, replaced_by_file

OUTAGES_S = (1.0, 10.0) if FAULTS <= 3 else (1.0, 10.0, 50.0, 120.0)
"""`make test-faults` waits out the long ones too."""


@pytest.fixture
def way(new_database: Callable[[str], str]) -> Iterator[Way]:
    made = Way(new_database("outages"))
    yield made
    made.close()


def ended_well(events: list[v1.SearchEvent]) -> None:
    assert events[-1].HasField("finished")
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert len(pictures_of(events)) == 16


@pytest.mark.parametrize("outage_s", OUTAGES_S)
def test_of_the_database_are_waited_out(lasting: Lasting, tmp_path: Path, way: Way, outage_s: float) -> None:
    environment = {
        "EACPS_DATABASE": way.url,
        "EACPS_ARTIFACTS": str(tmp_path / "artifacts"),
        "EACPS_EXECUTOR_ID": "one",
    }
    served = Served(lasting.grpc_url, tmp_path, environment)
    try:
        with client_of(served.start()) as client:
            search = client.submit(request())
            assert next(client.watch(search.search_id)).HasField("started")
            time.sleep(1.0)
            way.cut()
            time.sleep(outage_s)
            way.mend()
            ended_well(list(client.watch(search.search_id)))
    finally:
        served.kill()


@pytest.mark.parametrize("outage_s", OUTAGES_S)
def test_of_the_object_store_are_waited_out_and_said(served: Served, lasting: Lasting, outage_s: float) -> None:
    with client_of(served.start()) as client, contextlib.ExitStack() as paused:
        paused.enter_context(lasting.paused())  # else the search may be over before the outage begins
        search = client.submit(request())
        with replaced_by_file(served.folder / "data" / "artifacts"):
            paused.close()
            end_s = time.monotonic() + outage_s
            wait_until(lambda: client.get(search.search_id).waiting_reason == "STORE_UNAVAILABLE")
            time.sleep(max(0.0, end_s - time.monotonic()))
        ended_well(list(client.watch(search.search_id)))
        assert client.get(search.search_id).waiting_reason == ""


def fill(file: Path) -> None:
    """Write to a file until its disk is full."""
    with file.open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while ballast.write(bytes(4096)):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system that can be filled is mounted by root alone")
def test_a_full_disk_is_named_and_waited_out(served: Served) -> None:
    """The object store lies on a file system of its own, which something else fills."""
    disk = served.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=True)
    try:
        served.environment["EACPS_ARTIFACTS"] = str(disk / "artifacts")
        with client_of(served.start()) as client:
            search = client.submit(request())
            assert next(client.watch(search.search_id)).HasField("started")
            ballast = disk / "ballast"
            fill(ballast)
            wait_until(lambda: client.get(search.search_id).waiting_reason == "STORE_FULL")
            ballast.unlink()
            ended_well(list(client.watch(search.search_id)))
        served.kill()
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
    assert "the disk of the object store is full" in (served.folder / "server.log").read_text()

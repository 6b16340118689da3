"""``kill -9`` at random moments of a search: nothing is lost, only what was in flight is done again, same result."""

import random
import threading
import time
from collections.abc import Callable

import pytest

from eacps.client import Client, v1
from tests.faults.conftest import (
    BATCHES,
    FAULTS,
    Lasting,
    Served,
    client_of,
    essence_of,
    pictures_of,
    request,
)

IN_FLIGHT = 3  # micro-batches under way at most (`eacps.evaluation.ExecutionLimits.unscored_batches`)
SECONDS = 4.0  # that a search takes, about


class Undisturbed:
    """What a search finds when nobody disturbs it, found once."""

    events: "list[v1.SearchEvent] | None" = None


@pytest.fixture
def undisturbed(served: Served) -> list[v1.SearchEvent]:
    if Undisturbed.events is None:
        with client_of(served.start()) as client:
            Undisturbed.events = list(client.watch(client.submit(request()).search_id))
        served.kill()
    return Undisturbed.events


def follow(client: Client, search_id: str) -> tuple[list[v1.SearchEvent], threading.Thread]:
    """Watch a search in a thread of its own, through whatever happens to the server."""
    events: list[v1.SearchEvent] = []

    def watch() -> None:
        events.extend(client.watch(search_id))

    thread = threading.Thread(target=watch)
    thread.start()
    return events, thread


def agree(events: list[v1.SearchEvent], undisturbed: list[v1.SearchEvent]) -> None:
    """What is done again agrees within the tolerance of other batch mates: the same best, nearly the same scores."""
    best, potential, scores = essence_of(events)
    expected_best, expected_potential, expected_scores = essence_of(undisturbed)
    assert best == expected_best
    assert potential == pytest.approx(expected_potential, abs=1e-3)
    assert scores.keys() == expected_scores.keys()
    for name, values in scores.items():
        assert values == pytest.approx(expected_scores[name], abs=5e-3)


@pytest.mark.parametrize("moment", range(FAULTS))
def test_a_server_that_is_killed_goes_on_where_it_was(
    served: Served, lasting: Lasting, undisturbed: list[v1.SearchEvent], moment: int
) -> None:
    at_s = random.Random(moment).uniform(0.1, SECONDS)
    with client_of(served.start()) as client:
        before = lasting.generated()
        search = client.submit(request())
        events, watching = follow(client, search.search_id)
        time.sleep(at_s)
        served.kill()
        served.start()
        watching.join(timeout=120)
        assert not watching.is_alive()
        agree(events, undisturbed)
        assert list(client.watch(search.search_id)) == events
        assert pictures_of(events).keys() == pictures_of(undisturbed).keys()
    assert BATCHES <= lasting.generated() - before <= BATCHES + IN_FLIGHT


@pytest.mark.parametrize("moment", range(max(3, FAULTS // 2)))
def test_a_triton_that_is_killed_only_delays_a_search(
    served: Served, lasting: Lasting, undisturbed: list[v1.SearchEvent], moment: int
) -> None:
    at_s = random.Random(100 + moment).uniform(0.1, SECONDS)
    with client_of(served.start()) as client:
        search = client.submit(request())
        events, watching = follow(client, search.search_id)
        time.sleep(at_s)
        lasting.kill()
        lasting.start()
        watching.join(timeout=120)
        assert not watching.is_alive()
        agree(events, undisturbed)


def test_a_server_that_is_stopped_leaves_its_searches_to_the_next(
    served: Served, undisturbed: list[v1.SearchEvent]
) -> None:
    served.environment["EACPS_GRACE_S"] = "0.2"
    with client_of(served.start()) as client:
        search = client.submit(request())
        events, watching = follow(client, search.search_id)
        time.sleep(SECONDS / 2)
        assert served.stop() == 0
        served.start()
        watching.join(timeout=120)
        assert not watching.is_alive()
        agree(events, undisturbed)


def test_a_redeploy_takes_up_what_an_older_version_left(
    served: Served, undisturbed: list[v1.SearchEvent], new_database: Callable[[str], str]
) -> None:
    served.environment |= {"EACPS_DATABASE": new_database("redeploy"), "EACPS_EXECUTOR_ID": "one"}
    with client_of(served.start()) as client:
        search = client.submit(request())
        events, watching = follow(client, search.search_id)
        time.sleep(SECONDS / 2)
        served.kill()
        # Other code around the same workflow, as far as DBOS can tell: its own idea of the version is a hash of that.
        served.environment["DBOS__APPVERSION"] = "another"
        served.start()
        watching.join(timeout=120)
        assert not watching.is_alive()
        agree(events, undisturbed)


def test_what_waited_runs_after_a_restart(served: Served) -> None:
    served.environment["EACPS_MAX_SEARCHES"] = "1"
    with client_of(served.start()) as client:
        searches = [client.submit(request(request_id=f"take-{number}")) for number in range(3)]
        served.kill()
        served.start()
        for number, search in enumerate(searches):
            events = list(client.watch(search.search_id))
            assert events[-1].HasField("finished")
            assert client.submit(request(request_id=f"take-{number}")).search_id == search.search_id


def test_cancelling_and_deleting_leave_the_server_in_order(served: Served) -> None:
    with client_of(served.start()) as client:
        for end in (client.cancel, client.delete):
            search = client.submit(request())
            events = client.watch(search.search_id)
            while not next(events).HasField("candidate_scored"):
                pass
            events.close()
            end(search.search_id)
        assert list(client.watch(client.submit(request()).search_id))[-1].HasField("finished")
    assert served.stop() == 0
    log = (served.folder / "server.log").read_text().splitlines()
    assert [line for line in log if "Traceback" in line or "ERROR" in line.upper().replace("LAST ERROR", "")] == []

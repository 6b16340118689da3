"""Several servers on one PostgreSQL: they share the queue, see each other's searches, and none is run twice."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from eacps.client import v1
from tests.faults.conftest import Lasting, Served, client_of, pictures_of, request

SMALL = v1.SearchSettings(best_of_n=v1.BestOfNSettings(trajectories=4), random_seed=3, micro_batch=2)
QUICK = v1.SamplerSettings(steps=2)


@pytest.fixture
def database(new_database: Callable[[str], str]) -> str:
    return new_database("shared")


@pytest.fixture
def pair(lasting: Lasting, database: str, tmp_path: Path) -> Iterator[tuple[Served, Served]]:
    """Two servers that share a database and a folder of pictures, started."""
    servers = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        environment = {
            "EACPS_DATABASE": database,
            "EACPS_ARTIFACTS": str(tmp_path / "artifacts"),
            "EACPS_EXECUTOR_ID": name,
            "EACPS_MAX_SEARCHES": "2",
        }
        servers.append(Served(lasting.grpc_url, tmp_path / name, environment))
    try:
        for server in servers:
            server.start()
        yield servers[0], servers[1]
    finally:
        for server in servers:
            if server.process is not None and server.process.poll() is None:
                server.kill()


def executors(database: str) -> Counter[str]:
    """Workflows by the server that ran them."""
    engine = create_engine(make_url(database).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT executor_id FROM dbos.workflow_status WHERE name = 'search'"))
        counted = Counter(row[0] for row in rows)
    engine.dispose()
    return counted


def test_they_share_the_work_and_see_all_of_it(pair: tuple[Served, Served], lasting: Lasting, database: str) -> None:
    before = lasting.generated()
    with client_of(f"127.0.0.1:{pair[0].port}") as here, client_of(f"127.0.0.1:{pair[1].port}") as there:
        asked = request(search=SMALL, sampler=QUICK)
        ids = [here.submit(asked).search_id for _ in range(8)]
        for number, search_id in enumerate(ids):
            events = list((here, there)[number % 2].watch(search_id))
            assert events[-1].HasField("finished")
            assert len(pictures_of(events)) == 4
        assert [search.search_id for search in there.list()] == ids[::-1]
        assert there.download(here.get(ids[0]).result.best.artifact).startswith(b"\x89PNG")
        gone = here.submit(request(search=SMALL)).search_id
        assert there.cancel(gone).state == v1.SEARCH_STATE_CANCELLED
        assert [event.WhichOneof("event") for event in here.watch(gone)][-1] == "cancelled"
    assert set(executors(database)) >= {"one", "two"}
    assert lasting.generated() - before <= 8 * 2 + 2


def test_a_dead_ones_searches_go_on_when_it_is_back_under_its_id(pair: tuple[Served, Served]) -> None:
    with client_of(f"127.0.0.1:{pair[0].port}") as here, client_of(f"127.0.0.1:{pair[1].port}") as there:
        ids = [here.submit(request()).search_id for _ in range(4)]
        assert all(next(there.watch(search_id)).HasField("started") for search_id in ids)
        pair[0].kill()
        pair[0].start()
        for search_id in ids:
            events = list(there.watch(search_id))
            assert events[-1].HasField("finished")
            assert [event.sequence for event in events] == list(range(1, len(events) + 1))

"""Several servers on one PostgreSQL, of which one is killed, and the database too."""

import json
from pathlib import Path

from tests.benchmarks.test_load import run


def test_nothing_is_lost_and_nothing_is_done_twice(tmp_path: Path) -> None:
    words = ("--models", "free", "--searches", 18, "--candidates", 8, "--away", 0.5, "--only-killed")
    run("benchmarks.cluster", *words, "--out", tmp_path / "out")
    (found,) = json.loads((tmp_path / "out" / "cluster.json").read_text())["runs"].values()
    assert found["faults"] == []
    assert [what.split()[0] for what in found["killed"]] == ["server", "database"]
    assert sum(found["searches_by_server"].values()) == 18
    assert len(found["searches_by_server"]) > 1
    assert found["candidates_per_s"] > 0

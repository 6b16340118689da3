"""Times of searches: real ones on two edits, and the comparison of known ones."""

import asyncio
import io
from itertools import islice

import pytest
from rich.console import Console

from benchmarks.edits import drawn_edits
from benchmarks.search_time import Took, compare, measure, served_client, table_of, ways_of
from eacps.triton.embedded import EmbeddedTriton


def test_every_way_searches_every_edit(triton: EmbeddedTriton) -> None:
    async def measured() -> dict[str, list[Took]]:
        async with served_client(triton) as client:
            return await measure(client, list(islice(drawn_edits(4), 2)), ways_of(4, [8]), Console(quiet=True))

    found = asyncio.run(measured())
    best_of_n, own = found["best-of-4"], found["adaptive, restarts, planned for 8"]
    assert [one.pictures for one in best_of_n] == [4, 4]
    assert all(one.pictures > 8 for one in own), "restarts cost a part of a trajectory"
    assert all(one.seconds > 0 and 0 < one.potential < 1 for one in (*best_of_n, *own))
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(table_of(found))
    assert "±" in console.export_text()


def test_ratios_are_of_pairs() -> None:
    baseline = [Took(1.0, 0.5, 32), Took(4.0, 0.6, 32)]
    against = compare([Took(0.25, 0.6, 20), Took(4.0, 0.6, 20)], baseline)
    assert against.time_ratio == pytest.approx(0.5)
    assert against.time_ratio_error == pytest.approx(0.6931, abs=1e-4)
    assert (against.gain, against.gain_error) == (pytest.approx(0.05), pytest.approx(0.05))


def test_one_pair_has_no_error() -> None:
    with pytest.raises(ValueError, match="1 pairs"):
        compare([Took(1.0, 0.5, 32)], [Took(1.0, 0.5, 32)])

"""Micro-batches: which candidates they hold, and what time does to them."""

import asyncio

from eacps.evaluation.evaluate import micro_batches, overlapping
from eacps.search.cohort import Candidate, Move
from eacps.search.recipe import Recipe, restart


class TestMicroBatches:
    def test_hold_candidates_that_begin_at_the_same_step(self) -> None:
        candidates = [_candidate(number, start) for number, start in enumerate([4, 2, 4, 4, 2])]
        batches = micro_batches(candidates, 2)
        assert [[candidate.id for candidate in batch] for batch in batches] == [["1", "4"], ["0", "2"], ["3"]]
        assert all(len({candidate.start_step for candidate in batch}) == 1 for batch in batches)

    async def test_time_never_cuts_off_what_is_recorded(self) -> None:
        batches = micro_batches([_candidate(number) for number in range(4)], 1)
        recorded: list[str] = []

        async def work(batch: tuple[Candidate, ...]) -> str:
            if batch[0].id == "2":
                await asyncio.sleep(3600)
            return batch[0].id

        async def record(name: str) -> None:
            await asyncio.sleep(0.05)
            recorded.append(name)

        end_s = asyncio.get_running_loop().time() + 0.02

        def left_s() -> float:
            return end_s - asyncio.get_running_loop().time()

        in_time = await overlapping(batches, work, record, at_once=3, left_s=left_s)
        assert (in_time, recorded) == (False, ["0", "1"])


def _candidate(number: int, start_step: int = 0) -> Candidate:
    recipe = Recipe.from_seed(number)
    if start_step:
        return Candidate(str(number), restart(recipe, step=start_step, seed=100), ("parent",), 1, Move.RESTART)
    return Candidate(str(number), recipe, (), 0, Move.EXPLORE)

"""Micro-batches: which candidates they hold, and what time does to them."""

import asyncio

from eacps.evaluation.evaluate import micro_batches, overlapping
from eacps.search.cohort import Candidate, Move, Trial
from eacps.search.recipe import Recipe


class TestMicroBatches:
    def test_hold_candidates_that_stop_at_the_same_step(self) -> None:
        trials = [_trial(number, stop) for number, stop in enumerate([4, 2, 4, 4, 2])]
        batches = micro_batches(trials, 2)
        assert [[trial.candidate.id for trial in batch] for batch in batches] == [["1", "4"], ["0", "2"], ["3"]]
        assert all(len({trial.stop_step for trial in batch}) == 1 for batch in batches)

    async def test_time_never_cuts_off_what_is_recorded(self) -> None:
        batches = micro_batches([_trial(number, 4) for number in range(4)], 1)
        recorded: list[str] = []

        async def work(batch: tuple[Trial, ...]) -> str:
            if batch[0].candidate.id == "2":
                await asyncio.sleep(3600)
            return batch[0].candidate.id

        async def record(name: str) -> None:
            await asyncio.sleep(0.05)
            recorded.append(name)

        end_s = asyncio.get_running_loop().time() + 0.02

        def left_s() -> float:
            return end_s - asyncio.get_running_loop().time()

        in_time = await overlapping(batches, work, record, at_once=3, left_s=left_s)
        assert (in_time, recorded) == (False, ["0", "1"])


def _trial(number: int, stop_step: int) -> Trial:
    return Trial(Candidate(str(number), Recipe.from_seed(number), (), 0, Move.EXPLORE), stop_step)

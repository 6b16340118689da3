"""Work is counted as the service does it, and prices are found again."""

from collections.abc import Container, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from eacps.evaluation.evaluate import micro_batches
from eacps.search.cohort import Candidate, Move
from eacps.search.defaults import DEFAULT_MICRO_BATCH
from eacps.search.recipe import Recipe, restart
from studies.contenders import DRAFT_SHARES, families
from studies.costs import Prices, Work
from studies.parts import search_rows
from studies.potentials import Yardstick
from studies.prices import measure
from studies.rivals.settings import DraftFit
from tests.studies.landscape import STEPS, bench


def candidates() -> list[Candidate]:
    parents = [Recipe.from_seed(seed) for seed in range(20)]
    recipes = [*parents, *(restart(parent, step=4 + 2 * (parent.seeds[0] % 2), seed=99) for parent in parents[:7])]
    return [Candidate(str(index), recipe, (), 0, Move.EXPLORE) for index, recipe in enumerate(recipes)]


def test_batches_are_those_of_the_service() -> None:
    cohort = candidates()
    batches = micro_batches(cohort, DEFAULT_MICRO_BATCH)
    work = Work().plus([one.evaluations(STEPS) for one in cohort])
    assert work.batches == len(batches)
    assert work.calls == sum(batch[0].evaluations(STEPS) for batch in batches)
    assert work.nfe == sum(one.evaluations(STEPS) for one in cohort)
    assert work.pictures == len(cohort)


def test_work_adds_up_and_is_priced_by_its_parts() -> None:
    work = Work().plus([8] * 20).plus([4, 2, 4, 2])
    assert work == Work(nfe=172, pictures=24, calls=3 * 8 + 4 + 2, batches=5)
    prices = Prices(evaluation_s=0.1, picture_s=1.0, call_s=10.0, batch_s=100.0)
    assert prices.seconds(work) == pytest.approx(17.2 + 24 + 300 + 500)


async def test_a_draft_and_its_full_trajectory_share_one_evaluation() -> None:
    drafted = families(dict.fromkeys(DRAFT_SHARES, DraftFit(0.6, 0.6)), ("best_of_n_drafted",))[1][0]
    rows = await search_rows(bench(0), drafted, 32)
    drafts, kept = 68, 17  # of 2 steps each, and the other 7 of 8 steps for a quarter of them
    work = Work(nfe=2 * drafts + 7 * kept, pictures=drafts + kept, calls=2 * 9 + 7 * 3, batches=9 + 3)
    assert rows[-1].work == work


async def test_measured_prices_are_those_of_the_machine() -> None:
    true = Prices(evaluation_s=0.007, picture_s=0.01, call_s=0.002, batch_s=0.02)

    async def seconds(task: int, recipes: Sequence[Recipe], steps: int, scorers: Container[str]) -> float:
        assert "identity" in scorers
        assert "identity_heldout" not in scorers
        return true.seconds(Work().plus([steps] * len(recipes)))

    runner: Any = SimpleNamespace(oracle=SimpleNamespace(steps=STEPS, seconds=seconds), yardstick=Yardstick())
    found = await measure(runner)
    for name in ("evaluation_s", "picture_s", "call_s", "batch_s"):
        assert getattr(found, name) == pytest.approx(getattr(true, name), rel=0.01)

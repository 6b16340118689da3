"""Running, recording and replaying steps."""

from typing import Any

import pytest

from eacps.evaluation import JournalRunner
from eacps.evaluation.steps import step_key


class Work:
    """Counts how often it was done."""

    def __init__(self, outputs: dict[str, Any]) -> None:
        self.outputs, self.times = outputs, 0

    async def __call__(self) -> dict[str, Any]:
        self.times += 1
        return self.outputs


async def test_a_step_is_run_once_for_the_same_inputs() -> None:
    runner, work = JournalRunner(), Work({"picture": "abc"})
    first = await runner.run("generate", {"seed": 1, "steps": 4}, work)
    again = await runner.run("generate", {"steps": 4, "seed": 1}, work)
    assert first == again == {"picture": "abc"}
    assert work.times == 1


@pytest.mark.parametrize(("name", "inputs"), [("score", {"seed": 1}), ("generate", {"seed": 2}), ("generate", {})])
async def test_another_name_or_input_is_another_step(name: str, inputs: dict[str, Any]) -> None:
    runner, work = JournalRunner(), Work({})
    await runner.run("generate", {"seed": 1}, work)
    await runner.run(name, inputs, work)
    assert work.times == 2


async def test_a_step_that_fails_is_not_recorded() -> None:
    async def fail() -> dict[str, Any]:
        raise RuntimeError("no")

    runner, work = JournalRunner(), Work({"ok": True})
    with pytest.raises(RuntimeError):
        await runner.run("generate", {}, fail)
    assert runner.journal == ()
    assert await runner.run("generate", {}, work) == {"ok": True}


async def test_the_first_run_sees_what_a_replay_would() -> None:
    first = await JournalRunner().run("prior", {}, Work({"box": (1.0, 2.0)}))
    assert first == {"box": [1.0, 2.0]}


async def test_a_journal_replays_in_another_runner() -> None:
    runner = JournalRunner()
    await runner.run("generate", {"seed": 1}, Work({"picture": "abc"}))
    untouched = Work({})
    outputs = await JournalRunner(runner.journal).run("generate", {"seed": 1}, untouched)
    assert (outputs, untouched.times) == ({"picture": "abc"}, 0)


def test_inputs_that_json_does_not_know_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        step_key("generate", {"angle": float("nan")})

"""A search as a sequence of steps, each a function of its inputs whose outputs can be recorded and replayed.

Inputs and outputs are JSON-able, with pictures by content hash. A recorded step is not run again: its outputs are
reused byte for byte. What a durable runner adds is only where the journal is kept.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

Json = dict[str, Any]


@dataclass(frozen=True)
class StepRecord:
    """One step that was run to its end.

    Args:
        key: SHA-256 of name and inputs.
        name: Which stage.
        inputs: JSON-able.
        outputs: JSON-able.
    """

    key: str
    name: str
    inputs: Json
    outputs: Json


class StepRunner(Protocol):
    """Runs steps, or replays them."""

    async def run(self, name: str, inputs: Json, work: Callable[[], Awaitable[Json]]) -> Json:
        """Give the outputs of the step ``name`` with ``inputs``, running ``work`` only where they are not known.

        A step that raises is not recorded, and would run again.

        Args:
            name: Stage of the search.
            inputs: JSON-able; they determine the outputs.
            work: Makes the outputs, JSON-able.
        """
        ...


class DirectRunner:
    """A `StepRunner` that runs every step and keeps nothing."""

    async def run(self, name: str, inputs: Json, work: Callable[[], Awaitable[Json]]) -> Json:
        """See `StepRunner.run`."""
        step_key(name, inputs)  # raises where a journal could not name the step
        return through_json(await work())


class JournalRunner:
    """A `StepRunner` that keeps its journal within this process, for tests and replays.

    Args:
        records: Steps already run, to be replayed.
    """

    def __init__(self, records: Iterable[StepRecord] = ()) -> None:
        self._records = {record.key: record for record in records}

    @property
    def journal(self) -> tuple[StepRecord, ...]:
        """All steps recorded so far, in the order in which they ended."""
        return tuple(self._records.values())

    async def run(self, name: str, inputs: Json, work: Callable[[], Awaitable[Json]]) -> Json:
        """See `StepRunner.run`."""
        key = step_key(name, inputs)
        if (record := self._records.get(key)) is None:
            record = self._records[key] = StepRecord(key, name, inputs, through_json(await work()))
        return record.outputs


def through_json(outputs: Json) -> Json:
    """Give what comes back from JSON: a first run must see exactly what a replay would."""
    back: Json = json.loads(json.dumps(outputs))
    return back


def step_key(name: str, inputs: Json) -> str:
    """Name a step by what determines its outputs: SHA-256, in hexadecimal, over name and inputs."""
    canonical = json.dumps([name, inputs], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()

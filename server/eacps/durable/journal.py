"""The steps of a search in the database, so that it goes on where it was."""

import json
from collections.abc import Awaitable, Callable

from sqlalchemy import Connection, insert, select

from eacps.durable.database import Database
from eacps.durable.records import SearchState
from eacps.durable.tables import SEARCHES, STEPS
from eacps.errors import SearchOver
from eacps.evaluation.steps import Json, step_key, through_json


class DurableSteps:
    """An `eacps.evaluation.StepRunner` whose journal outlives this process.

    A step is named by what determines it, not by its number: micro-batches overlap, and which one ends first differs
    from run to run.

    Args:
        database: Where.
        search_id: Whose steps.
        recorded: Those already recorded, outputs as JSON by key.
    """

    def __init__(self, database: Database, search_id: str, recorded: dict[str, str]) -> None:
        self._database, self._search_id, self._recorded = database, search_id, recorded

    @classmethod
    async def load(cls, database: Database, search_id: str) -> "DurableSteps":
        """Read what was recorded of a search."""
        query = select(STEPS.c.key, STEPS.c.outputs).where(STEPS.c.search_id == search_id)
        rows = await database.run(lambda connection: connection.execute(query).all())
        return cls(database, search_id, {row.key: row.outputs for row in rows})

    async def run(self, name: str, inputs: Json, work: Callable[[], Awaitable[Json]]) -> Json:
        """See `StepRunner.run`.

        Raises:
            SearchOver: The search does not run any more, so that nothing is recorded of it.
        """
        key = step_key(name, inputs)
        if (recorded := self._recorded.get(key)) is not None:
            replayed: Json = json.loads(recorded)
            return replayed
        outputs = through_json(await work())
        text = json.dumps(outputs, separators=(",", ":"))
        await self._database.run(lambda connection: self._record(connection, key, name, text))
        self._recorded[key] = text
        return outputs

    def _record(self, connection: Connection, key: str, name: str, text: str) -> None:
        running = (SEARCHES.c.id == self._search_id) & (SEARCHES.c.state == SearchState.RUNNING.value)
        if connection.execute(select(SEARCHES.c.id).where(running).with_for_update(read=True)).first() is None:
            raise SearchOver(f"search {self._search_id} does not run any more")
        row = {"search_id": self._search_id, "key": key, "name": name, "outputs": text}
        connection.execute(insert(STEPS), row)

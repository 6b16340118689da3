"""Statement statements, on SQLite and on a real PostgreSQL: the same answers as SQLAlchemy's own way gives."""

import pytest
from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError, StatementError

from eacps.durable import Database
from eacps.durable.statements import Statement
from eacps.durable.tables import OBJECTS, REFERENCES

KEEP = Statement(lambda insert: insert(OBJECTS).on_conflict_do_nothing())
LARGER = Statement(
    lambda _: (
        select(OBJECTS.c.digest, OBJECTS.c.size)
        .where(OBJECTS.c.size > bindparam("least"), OBJECTS.c.digest != "100% not this")
        .order_by(OBJECTS.c.size)
    )
)


async def test_parameters_go_where_their_names_are(database: Database) -> None:
    def work(connection: Connection) -> list[tuple[str, int]]:
        KEEP.execute(connection, {"size": 5, "digest": "a"})
        KEEP.execute(connection, {"digest": "b", "size": 2**40, "beside": "the point"})
        connection.execute(insert(OBJECTS).values(digest="100% not this", size=7))
        return [(row.digest, row.size) for row in LARGER.execute(connection, {"least": 4})]

    assert await database.run(work) == [("a", 5), ("b", 2**40)]


async def test_rows_that_change_nothing_are_not_counted(database: Database) -> None:
    def work(connection: Connection) -> tuple[int, int]:
        rows = [{"digest": name, "size": 1} for name in "abc"]
        return KEEP.execute_many(connection, rows), KEEP.execute_many(connection, [*rows, {"digest": "d", "size": 1}])

    assert await database.run(work) == (3, 1)


async def test_a_fixed_value_may_be_null(database: Database) -> None:
    nameless = Statement(lambda _: update(OBJECTS).where(OBJECTS.c.digest == bindparam("of")).values(size=None))

    def work(connection: Connection) -> None:
        KEEP.execute(connection, {"digest": "a", "size": 1})
        nameless.execute(connection, {"of": "a"})

    with pytest.raises(IntegrityError):  # the size is never null: so null it was
        await database.run(work)


async def test_a_parameter_that_is_missing_is_an_error(database: Database) -> None:
    with pytest.raises((KeyError, StatementError)):
        await database.run(lambda connection: KEEP.execute(connection, {"digest": "a"}))


async def test_errors_are_those_of_sqlalchemy(database: Database) -> None:
    refer = Statement(lambda insert: insert(REFERENCES))
    with pytest.raises(IntegrityError):
        await database.run(lambda connection: refer.execute(connection, {"digest": "none", "search_id": "none"}))


async def test_lists_of_variable_length_are_refused(database: Database) -> None:
    some = Statement(lambda _: select(OBJECTS.c.digest).where(OBJECTS.c.digest.in_(["a", "b"])))
    with pytest.raises(ValueError, match="variable length"):
        await database.run(lambda connection: some.execute(connection, {}))

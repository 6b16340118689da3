"""SQL statements that are compiled once for each kind of database, and then go straight to the driver.

SQLAlchemy's compiler, even where it finds a statement in its cache, takes some ten times as long as SQLite does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, CursorResult
from sqlalchemy.dialects import postgresql, sqlite

Values = Mapping[str, Any]


@dataclass(frozen=True)
class _Compiled:
    text: str
    names: Sequence[str] | None
    """Names of the parameters in order, where the driver takes positional ones."""
    fixed: Values

    def parameters(self, values: Values) -> Any:
        known = {**self.fixed, **values}
        return known if self.names is None else tuple(known[name] for name in self.names)


class Statement:
    """A statement with named parameters.

    Parameters and results have the types of the driver: bytes, numbers, texts, and on SQLite 0 or 1 for booleans.

    Args:
        build: Builds it, given the ``insert`` function of the dialect. It must hold no list of variable length.
    """

    def __init__(self, build: Callable[[Any], Any]) -> None:
        self._build, self._compiled = build, dict[str, _Compiled]()

    def execute(self, connection: Connection, values: Values) -> CursorResult[*tuple[Any, ...]]:
        """Execute it once."""
        compiled = self._for(connection)
        return connection.exec_driver_sql(compiled.text, compiled.parameters(values))

    def execute_many(self, connection: Connection, rows: Sequence[Values]) -> int:
        """Execute it for each of at least one row, and return how many rows were changed."""
        compiled = self._for(connection)
        return connection.exec_driver_sql(compiled.text, [compiled.parameters(values) for values in rows]).rowcount

    def _for(self, connection: Connection) -> _Compiled:
        name = connection.dialect.name
        if name not in self._compiled:
            kind = sqlite if name == "sqlite" else postgresql
            compiled = self._build(kind.insert).compile(dialect=connection.dialect)
            if compiled.post_compile_params:
                raise ValueError(f"lists of variable length cannot be prepared: {compiled}")
            names = tuple(compiled.positiontup) if compiled.positional else None
            fixed = {key: value for key, value in compiled.params.items() if not compiled.binds[key].required}
            self._compiled[name] = _Compiled(str(compiled), names, fixed)
        return self._compiled[name]

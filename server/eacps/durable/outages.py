"""Errors of the database and of the object store: which of them are outages, and whether a disk is full."""

import errno

from sqlalchemy import exc

from eacps.errors import StoreFull, StoreUnavailable

_OF_A_STATEMENT = (exc.IntegrityError, exc.DataError, exc.ProgrammingError, exc.NotSupportedError)
"""Errors of a statement itself, which a retry does not mend; all others are of the database or the network."""
_NO_SPACE = ("disk is full", "no space left", "disk full", "could not extend file", "quota exceeded")
"""Words in messages of SQLite, of operating systems, of Rust and of PostgreSQL."""


def is_outage(error: exc.SQLAlchemyError) -> bool:
    """Return whether the database failed, and may recover; otherwise the statement is wrong."""
    return isinstance(error, exc.DBAPIError | exc.TimeoutError) and not isinstance(error, _OF_A_STATEMENT)


def store_error(what: str, error: Exception) -> StoreUnavailable:
    """Return the domain error for what a database or an object store raised; the caller raises it ``from`` that.

    Args:
        what: Name of what failed, for the message.
        error: The error that was caught.
    """
    if _is_full(error):
        return StoreFull(f"the disk of {what} is full")
    return StoreUnavailable(f"{what} failed: {type(error).__name__}")


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(words in str(error).lower() for words in _NO_SPACE):
            return True
        error = error.__cause__ or getattr(error, "orig", None)
    return False

"""Ids of searches on the command line: whole, or as much of their beginning as is unique."""

from contextlib import aclosing

from eacps.cli.exit_codes import ExitCode
from eacps.cli.outcome import CommandFailed
from eacps.client import AsyncClient
from eacps.limits import RANGES

SHORT = 12
"""Characters that lists show."""
_WHOLE = 32
_LEAST = 4
_MOST_LISTED = 20_000


async def whole_id(client: AsyncClient, text: str) -> str:
    """Return the id that a text is the beginning of; whole ids are not looked up.

    Raises:
        CommandFailed: It is of no search, or of several.
    """
    if len(text) >= _WHOLE:
        return text
    if len(text) < _LEAST:
        message = f"{text!r} is too short for an id; at least {_LEAST} characters are needed"
        raise CommandFailed(message, ExitCode.REQUEST, code="SEARCH_ID")
    found: list[str] = []
    seen = 0
    async with aclosing(client.list(page_size=int(RANGES["page_size"].most))) as searches:
        async for search in searches:
            seen += 1
            if search.search_id.startswith(text):
                found.append(search.search_id)
            if seen == _MOST_LISTED:
                break
    if not found:
        raise CommandFailed(f"there is no search {text!r}", ExitCode.REQUEST, code="NOT_FOUND")
    if len(found) > 1:
        several = ", ".join(found[:3])
        raise CommandFailed(f"{text!r} begins several ids: {several}", ExitCode.REQUEST, code="SEARCH_ID")
    return found[0]

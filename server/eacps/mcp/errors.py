"""Errors as tools return them: what an assistant can act on."""

from collections.abc import Iterator
from contextlib import contextmanager

from mcp.server.mcpserver.exceptions import ToolError

from eacps.client import CallFailed, InvalidSettings


@contextmanager
def tool_errors() -> Iterator[None]:
    """Translate what the client raises within the block.

    Raises:
        ToolError: For all of it.
    """
    try:
        yield
    except InvalidSettings as exc:
        raise ToolError("UNAUTHENTICATED: the API key holds characters that no key has") from exc
    except CallFailed as exc:
        reason = f" ({exc.reason})" if exc.reason else ""
        again = f"; try again after {exc.retry_after_s:g} s" if exc.retry_after_s else ""
        raise ToolError(f"{exc.code.name}{reason}: {exc.message}{again}") from exc

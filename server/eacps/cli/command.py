"""What every command runs in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

from eacps.cli.connection import Connection
from eacps.cli.outcome import reported

if TYPE_CHECKING:
    from eacps.cli.composition import Composition

_FROM_ENVIRONMENT = Connection()


@contextmanager
def command(
    *, as_json: bool = False, via: Connection = _FROM_ENVIRONMENT, **given: Any
) -> Iterator[tuple[Console, "Composition"]]:
    """Report a command's failures, read its settings, and let its options win over them.

    Args:
        as_json: Report failures as JSON on standard output, too.
        via: How it reaches a search server.
        given: Its other options that replace settings; see `Composition.with_options`.
    """
    console = Console(stderr=True)
    with reported(console, as_json=as_json):
        from eacps.cli.composition import Composition

        tls_files = (via.tls_ca, via.tls_certificate, via.tls_key)
        yield console, Composition.from_environment().with_options(server=via.server, tls_files=tls_files, **given)

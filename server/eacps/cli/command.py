"""What every command runs in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

from eacps.cli.outcome import reported

if TYPE_CHECKING:
    from eacps.cli.composition import Composition


@contextmanager
def command(
    as_json: bool, tls: tuple[str | None, str | None, str | None] = (None, None, None), **given: Any
) -> Iterator[tuple[Console, "Composition"]]:
    """Report the failures of a command, read its settings, and let the options ``given`` win over them."""
    console = Console(stderr=True)
    with reported(console, as_json=as_json):
        from eacps.cli.composition import Composition
        from eacps.client import ClientTls

        yield console, Composition.from_environment().with_options(server_tls=ClientTls.from_texts(*tls), **given)

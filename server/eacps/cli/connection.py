"""How a command reaches a search server: its options, declared once."""

import inspect
from dataclasses import dataclass
from typing import Any

from eacps.cli import options
from eacps.cli.groups import Group


@dataclass(frozen=True)
class Connection:
    """How the command line names the search server; None leaves it to the environment.

    Args:
        server: ``host:port``.
        tls_ca, tls_certificate, tls_key: Files; see `eacps.client.ClientTls.from_texts`.
    """

    server: str | None = None
    tls_ca: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None


def _group(server: Any) -> Any:
    kinds = {
        "server": server,
        "tls_ca": options.TlsCa,
        "tls_certificate": options.TlsCertificate,
        "tls_key": options.TlsKey,
    }
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = {name: inspect.Parameter(name, keyword, default=None, annotation=kind) for name, kind in kinds.items()}
    return Group(parameters, lambda given: Connection(**given))


CONNECTION = _group(options.Server)
"""For commands that embed a server if none is named."""
SERVER_CONNECTION = _group(options.ServerOfSearches)
"""For commands over searches that a server keeps."""

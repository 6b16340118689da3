"""The connection to a search server: in the clear, or by TLS with certificates from files."""

from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from eacps.client.errors import InvalidSettings

_LOOPBACK = ("127.", "localhost", "[::1]")
SYSTEM = "system"
"""In the place of a file: the roots that gRPC brings."""


@dataclass(frozen=True)
class ClientTls:
    """How a client trusts a server and shows who it is.

    Args:
        ca: PEM, roots of the server's certificate; None takes those that gRPC brings.
        certificate, key: PEM, the client's own, for servers that ask for one; both or none.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def from_texts(cls, ca: str | None, certificate: str | None, key: str | None) -> "ClientTls | None":
        """Read settings; None where none is given."""
        if not (ca or certificate or key):
            return None
        paths = [Path(text) if text and text != SYSTEM else None for text in (ca, certificate, key)]
        return cls(*paths)


def open_channel(server: str, tls: ClientTls | None) -> grpc.aio.Channel:
    """Open a channel; nothing is sent yet.

    Args:
        server: ``host:port``.
        tls: None speaks in the clear.

    Raises:
        InvalidSettings: A certificate cannot be read, or there is one without its key.
    """
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    if server.startswith(_LOOPBACK):
        # No proxy from the environment may stand between us and this very machine.
        options.append(("grpc.enable_http_proxy", 0))
    if tls is None:
        return grpc.aio.insecure_channel(server, options=options)
    if (tls.certificate is None) != (tls.key is None):
        raise InvalidSettings("a client's certificate and its key are given together or not at all")
    credentials = grpc.ssl_channel_credentials(_read(tls.ca), _read(tls.key), _read(tls.certificate))
    return grpc.aio.secure_channel(server, credentials, options=options)


def _read(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as exc:
        raise InvalidSettings(f"cannot read {path}: {exc.strerror}") from exc

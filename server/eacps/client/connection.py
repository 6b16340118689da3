"""The connection to a search server: in the clear, or by TLS with certificates from files; and how it is kept alive."""

from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from eacps.client.errors import InvalidSettings

_LOOPBACK = ("127.", "localhost:", "[::1]:")
SYSTEM = "system"
"""Instead of a file: the roots that come with gRPC."""


@dataclass(frozen=True)
class ClientTls:
    """How a client verifies a server, and identifies itself.

    Args:
        ca: PEM, roots of the server's certificate; None uses those that come with gRPC.
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


@dataclass(frozen=True)
class Keepalive:
    """How a client notices, while calls are under way, that the server's host or the network has died.

    Args:
        interval_s: After so many seconds without any word from the server it is asked whether it is still there.
        timeout_s: For its answer; then the connection counts as lost, and its calls end as ``UNAVAILABLE``.
    """

    interval_s: float = 20.0
    timeout_s: float = 10.0

    @property
    def options(self) -> list[tuple[str, int]]:
        """As options of a channel."""
        return [
            ("grpc.keepalive_time_ms", round(self.interval_s * 1000)),
            ("grpc.keepalive_timeout_ms", round(self.timeout_s * 1000)),
            ("grpc.http2.ping_timeout_ms", round(self.timeout_s * 1000)),  # else it is a minute
            ("grpc.http2.max_pings_without_data", 0),  # a quiet stream is no reason to stop asking
        ]


def open_channel(server: str, tls: ClientTls | None, keepalive: Keepalive) -> grpc.aio.Channel:
    """Open a channel; nothing is sent yet.

    Args:
        server: ``host:port``.
        tls: None speaks in the clear.
        keepalive: How a dead host is noticed.

    Raises:
        InvalidSettings: A certificate cannot be read, or there is one without its key.
    """
    options = list(keepalive.options)
    if server.startswith(_LOOPBACK):
        # A proxy from the environment cannot reach this very machine.
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

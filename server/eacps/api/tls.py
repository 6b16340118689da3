"""TLS of the server: certificates from files, read anew when they have changed, so that renewal needs no restart."""

from dataclasses import dataclass
from pathlib import Path

import grpc

from eacps.errors import FieldViolation, InvalidRequest


@dataclass(frozen=True)
class ServerTls:
    """Where the server's certificates are.

    Args:
        certificate: PEM, the server's own, then those between it and its root.
        key: PEM, the private key to it.
        client_ca: PEM, roots of the clients' certificates. With it every client must show one (mutual TLS); None lets
            in whoever trusts the server.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def files(self) -> dict[str, Path]:
        """All files by the setting that names them."""
        named = {"tls_certificate": self.certificate, "tls_key": self.key, "tls_client_ca": self.client_ca}
        return {name: path for name, path in named.items() if path is not None}


def server_credentials(tls: ServerTls) -> grpc.ServerCredentials:
    """Give credentials that follow the files: a new connection gets what they hold then.

    Raises:
        InvalidRequest: Names every file that cannot be read.
    """
    faults = [
        FieldViolation(name, f"{path} cannot be read: {fault}")
        for name, path in tls.files.items()
        if (fault := _fault(path))
    ]
    if faults:
        raise InvalidRequest(faults)
    # Typed as if it always gave something; None, as its documentation says, leaves all as it is.
    return grpc.dynamic_ssl_server_credentials(_read(tls), _Renewal(tls), tls.client_ca is not None)  # type: ignore[arg-type]


class _Renewal:
    """Called by gRPC at every handshake: gives the files' contents once they have changed, else None."""

    def __init__(self, tls: ServerTls) -> None:
        self._tls, self._seen = tls, _stamps(tls)

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        try:
            stamps = _stamps(self._tls)
            if stamps == self._seen:
                return None
            renewed = _read(self._tls)
        except OSError:
            return None  # in the middle of being replaced: the certificates at hand go on
        self._seen = stamps
        return renewed


def _read(tls: ServerTls) -> grpc.ServerCertificateConfiguration:
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    roots = None if tls.client_ca is None else tls.client_ca.read_bytes()
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)


def _stamps(tls: ServerTls) -> tuple[int, ...]:
    return tuple(path.stat().st_mtime_ns for path in tls.files.values())


def _fault(path: Path) -> str | None:
    try:
        return None if path.read_bytes().strip() else "it is empty"
    except OSError as exc:
        return exc.strerror or type(exc).__name__

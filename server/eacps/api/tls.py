"""Server certificates from files. Changed files are read again, so that renewal needs no restart."""

from dataclasses import dataclass
from pathlib import Path

import grpc

from eacps.errors import FieldViolation, InvalidRequest


@dataclass(frozen=True)
class ServerTls:
    """Files of the server's certificates.

    Args:
        certificate: PEM, the certificate of the server, then the intermediate ones.
        key: PEM, its private key.
        client_ca: PEM, root certificates of the clients, each of which must then present a certificate (mutual TLS);
            None asks for none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def files(self) -> dict[str, Path]:
        """The files by the names of their settings."""
        named = {"tls_certificate": self.certificate, "tls_key": self.key, "tls_client_ca": self.client_ca}
        return {name: path for name, path in named.items() if path is not None}


def server_credentials(tls: ServerTls) -> grpc.ServerCredentials:
    """Return credentials that follow the files: a new connection uses their current contents.

    Raises:
        InvalidRequest: Names every file that cannot be read.
    """
    violations = [
        FieldViolation(name, f"{path} cannot be read: {fault}")
        for name, path in tls.files.items()
        if (fault := _fault(path))
    ]
    if violations:
        raise InvalidRequest(violations)
    # Typed as if it always returned something; None, as documented, keeps the current certificates.
    return grpc.dynamic_ssl_server_credentials(_read(tls), _Renewal(tls), tls.client_ca is not None)  # type: ignore[arg-type]


class _Renewal:
    """Called by gRPC at every handshake: returns the contents of the files if they have changed, else None."""

    def __init__(self, tls: ServerTls) -> None:
        self._tls, self._seen = tls, _stamps(tls)

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        try:
            stamps = _stamps(self._tls)
            if stamps == self._seen:
                return None
            renewed = _read(self._tls)
        except OSError:
            return None  # the files are just being replaced: keep the current certificates
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

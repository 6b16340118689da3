"""Settings of the HTTP interface."""

from dataclasses import dataclass
from pathlib import Path

from eacps.errors import FieldViolation
from eacps.settings.addresses import address_of
from eacps.settings.reader import Reader, positive, timeout
from eacps.settings.server import TlsSettings


@dataclass(frozen=True)
class HttpSettings:
    """Settings of ``eacps http``; ``tls`` also of ``eacps studio`` and ``eacps mcp``.

    Args:
        address: ``host:port`` to serve on; port 0 takes a free one.
        tls: Certificate to serve with; None uses no TLS.
        max_body_bytes: Of one request.
        max_edits: Requests that are answered at once.
        search_timeout_s: For one search, which then ends with the best so far.
    """

    address: str = "127.0.0.1:8080"
    tls: TlsSettings | None = None
    max_body_bytes: int = 256 * 2**20
    max_edits: int = 64
    search_timeout_s: float = 540.0

    @property
    def certificate(self) -> tuple[Path, Path] | None:
        """PEM files of the certificate and its key; None uses no TLS."""
        return (self.tls.certificate, self.tls.key) if self.tls else None

    @property
    def scheme(self) -> str:
        """Scheme of the addresses: ``http`` or ``https``."""
        return "https" if self.tls else "http"


def http_settings_of(reader: Reader) -> HttpSettings:
    """Read ``EACPS_HTTP_ADDRESS`` and what goes with it."""
    own = HttpSettings
    return own(
        address=reader.get("EACPS_HTTP_ADDRESS", address_of, own.address),
        tls=_tls(reader),
        max_body_bytes=reader.get("EACPS_HTTP_MAX_BODY_BYTES", positive, own.max_body_bytes),
        max_edits=reader.get("EACPS_HTTP_MAX_EDITS", positive, own.max_edits),
        search_timeout_s=reader.get("EACPS_HTTP_SEARCH_TIMEOUT_S", timeout, own.search_timeout_s),
    )


def _tls(reader: Reader) -> TlsSettings | None:
    certificate = reader.get("EACPS_HTTP_TLS_CERTIFICATE", Path, None)
    key = reader.get("EACPS_HTTP_TLS_KEY", Path, None)
    if certificate is not None and key is not None:
        return TlsSettings(certificate, key)
    for name, value, other in (("CERTIFICATE", certificate, key), ("KEY", key, certificate)):
        if value is None and other is not None:
            reader.violations.append(FieldViolation(f"EACPS_HTTP_TLS_{name}", "is needed as well"))
    return None

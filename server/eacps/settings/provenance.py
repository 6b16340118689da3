"""Settings of the provenance in delivered files."""

from dataclasses import dataclass
from pathlib import Path

from eacps.errors import FieldViolation
from eacps.settings.reader import Reader

RECORD_MODES = ("full", "anonymous", "none")
OFF = "off"


@dataclass(frozen=True)
class ProvenanceSettings:
    """What delivered files say.

    Args:
        certificate: File of the certificate chain that signs content credentials, PEM, the signer's own first; None:
            a self-made one that nobody trusts.
        key: File of its private key, PEM without a password.
        signed: Whether content credentials are written at all.
        record: What the record inside a file holds: all; all but prompt and scores; nothing.
    """

    certificate: Path | None = None
    key: Path | None = None
    signed: bool = True
    record: str = "full"


def provenance_of(reader: Reader) -> ProvenanceSettings:
    """Read ``EACPS_CREDENTIALS``, ``EACPS_CREDENTIALS_CERTIFICATE``, ``EACPS_CREDENTIALS_KEY``, ``EACPS_RECORD``."""
    certificate = reader.get("EACPS_CREDENTIALS_CERTIFICATE", Path, None)
    key = reader.get("EACPS_CREDENTIALS_KEY", Path, None)
    names = {"EACPS_CREDENTIALS_CERTIFICATE": certificate, "EACPS_CREDENTIALS_KEY": key}
    if (certificate is None) != (key is None):
        missing = next(name for name, value in names.items() if value is None)
        reader.violations.append(FieldViolation(missing, "is needed as well"))
    return ProvenanceSettings(
        certificate,
        key,
        signed=reader.get("EACPS_CREDENTIALS", _signed, ProvenanceSettings.signed),
        record=reader.get("EACPS_RECORD", _record, ProvenanceSettings.record),
    )


def _signed(text: str) -> bool:
    if text not in ("on", OFF):
        raise ValueError(f"is {text}, not on or off")
    return text != OFF


def _record(text: str) -> str:
    if text not in RECORD_MODES:
        raise ValueError(f"is {text}, not {', '.join(RECORD_MODES[:-1])} or {RECORD_MODES[-1]}")
    return text

"""Certificates that sign content credentials: the operator's from files, or a self-made one for trials."""

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from eacps.errors import FieldViolation, InvalidRequest

_NAME = "EACPS self-made certificate, not trusted by anyone"
_VALID = datetime.timedelta(days=365)
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


@dataclass(frozen=True)
class Identity:
    """Who signs.

    Args:
        chain: Certificates, PEM, the signer's own first.
        key: Its private key, PEM (PKCS 8).
        algorithm: Of C2PA, such as ``ES256``.
        valid_until: When the first certificate of the chain to expire does.
    """

    chain: bytes
    key: bytes
    algorithm: str
    valid_until: datetime.datetime


class CertificateExpired(Exception):
    """Nobody may sign with it any more."""


def read_identity(certificate: Path, key: Path) -> Identity:
    """Read a certificate chain and its key.

    Raises:
        InvalidRequest: They cannot be read, or the key is none of P-256, P-384, P-521 and Ed25519.
    """
    try:
        chain, private = certificate.read_bytes(), key.read_bytes()
        loaded = serialization.load_pem_private_key(private, None)
        certificates = x509.load_pem_x509_certificates(chain)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise InvalidRequest([FieldViolation("credentials", f"cannot be read: {exc}")]) from exc
    if isinstance(loaded, ec.EllipticCurvePrivateKey):
        algorithm = _CURVES.get(loaded.curve.name)
    else:
        algorithm = "Ed25519" if type(loaded).__name__ == "Ed25519PrivateKey" else None
    if algorithm is None:
        raise InvalidRequest([FieldViolation("credentials", "need a key of P-256, P-384, P-521 or Ed25519")])
    return Identity(chain, private, algorithm, min(one.not_valid_after_utc for one in certificates))


def self_made_identity(valid: datetime.timedelta = _VALID) -> Identity:
    """Make a certificate that nobody trusts, and its authority's, valid for a year."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    until = (datetime.datetime.now(datetime.UTC) + valid).replace(microsecond=0)  # as certificates state it
    authority = _signed(_name("EACPS self-made authority"), None, authority_key, authority_key, until, leaf=False)
    leaf = _signed(_name(_NAME), authority, key, authority_key, until, leaf=True)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Identity(leaf.public_bytes(pem) + authority.public_bytes(pem), private, "ES256", until)


def _name(common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, common), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "EACPS")]
    )


def _signed(
    name: x509.Name,
    issuer: x509.Certificate | None,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    until: datetime.datetime,
    *,
    leaf: bool,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(
        digital_signature=leaf,
        key_cert_sign=not leaf,
        crl_sign=not leaf,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, until) - datetime.timedelta(minutes=5))
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=not leaf, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(authority, critical=False)
    )
    if leaf:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())

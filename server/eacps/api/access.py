"""Authentication: API keys, hashed at rest, one or more for each tenant.

A key is ``eacps_`` and 32 random bytes as text, sent as ``authorization: Bearer <key>``. The file of keys holds SHA-256
digests: keys are random, so a slow hash would only add work for the server.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio

from eacps.api.admission import ANYONE
from eacps.errors import FieldViolation, InvalidRequest, Unauthenticated

PREFIX = "eacps_"
_HEADER, _SCHEME = "authorization", "bearer "
_DIGEST_DIGITS = 64
_MAX_TENANT = 64


def new_key() -> str:
    """Create a key. It is shown once and never stored."""
    return PREFIX + secrets.token_urlsafe(32)


def key_digest(key: str) -> str:
    """Return the digest of a key, as the file of keys holds it."""
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True)
class KeyRing:
    """The keys of all tenants.

    Args:
        tenants: Tenants by digest of a key.
    """

    tenants: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> "KeyRing":
        """Read a file of keys: ``{"tenant": ["digest", ...]}``.

        Raises:
            InvalidRequest: The file cannot be read, or is no file of keys.
        """
        try:
            data = json.loads(_read(path))
            pairs = [(str(digest), name) for name, digests in data.items() for digest in digests]
        except (OSError, ValueError, AttributeError, TypeError) as exc:
            raise InvalidRequest([FieldViolation("api_keys", f"{path} cannot be read: {exc}")]) from exc
        if bad := sorted({name for digest, name in pairs if len(digest) != _DIGEST_DIGITS or not _is_tenant(name)}):
            raise InvalidRequest([FieldViolation("api_keys", f"{path}: not a tenant with digests: {', '.join(bad)}")])
        if not pairs:
            raise InvalidRequest([FieldViolation("api_keys", f"{path} holds no key: nobody could call")])
        return cls(dict(pairs))

    def tenant_of(self, key: str) -> str | None:
        """Return the tenant of a key; None if it is unknown. Takes equally long for all keys."""
        digest, found = key_digest(key), None
        for known, name in self.tenants.items():
            if hmac.compare_digest(known, digest):
                found = name
        return found


def add_key(path: Path, name: str) -> str:
    """Create a key for a tenant, add its digest to the file of keys, and return the key.

    Raises:
        InvalidRequest: The tenant's name is invalid, the file is no file of keys, or its folder does not exist.
        OSError: The file cannot be written for another reason.
    """
    if not _is_tenant(name):
        raise InvalidRequest([FieldViolation("tenant", f"{name!r} is not 1 to {_MAX_TENANT} letters, digits, - or _")])
    known: dict[str, list[str]] = {}
    if path.exists():
        for digest, owner in KeyRing.read(path).tenants.items():
            known.setdefault(owner, []).append(digest)
    key = new_key()
    known.setdefault(name, []).append(key_digest(key))
    partial = path.with_name(path.name + ".partial")
    try:
        partial.touch(mode=0o600)
        partial.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    except FileNotFoundError as exc:
        raise InvalidRequest([FieldViolation("api_keys", f"{path} cannot be written: {exc.strerror}")]) from exc
    return key


def _read(path: Path) -> str:
    if path.exists() and not path.is_file():  # a device may have no end
        raise ValueError("it is no file")
    return path.read_text(encoding="utf-8")


class Access:
    """Authenticates callers.

    Args:
        keys: Keys of all tenants; None for no keys.
    """

    def __init__(self, keys: KeyRing | None) -> None:
        self._keys = keys

    def tenant_of(self, context: grpc.aio.ServicerContext[Any, Any]) -> str:
        """Return the tenant of a call: by its key; without keys by the common name of its certificate, else `ANYONE`.

        Raises:
            Unauthenticated: The key is unknown, or the certificate's common name is no valid tenant.
        """
        if self._keys is not None:
            owner = self._keys.tenant_of(_key_in(context.invocation_metadata() or ()))
            if owner is None:
                raise Unauthenticated("no valid API key; send it as 'authorization: Bearer <key>'")
            return owner
        names = context.auth_context().get("x509_common_name", ())
        if not names:
            return ANYONE
        name = bytes(next(iter(names))).decode(errors="replace")
        if not _is_tenant(name):
            raise Unauthenticated(f"the certificate's common name is not 1 to {_MAX_TENANT} letters, digits, - or _")
        return name


def _key_in(metadata: Any) -> str:
    for name, value in metadata:
        if name == _HEADER and isinstance(value, str) and value.lower().startswith(_SCHEME):
            return value[len(_SCHEME) :].strip()
    return ""


def _is_tenant(name: object) -> bool:
    return (
        isinstance(name, str)
        and 1 <= len(name) <= _MAX_TENANT
        and all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in name)
    )

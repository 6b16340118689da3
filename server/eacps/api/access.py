"""Who may call: API keys, hashed at rest, one or more for each tenant.

A key is 32 random bytes as text behind ``eacps_``. It travels as ``authorization: Bearer <key>``. The file of keys
holds SHA-256 digests: a key has all its bits from a random source, so a slow hash would add nothing but work for the
server.
"""

import contextvars
import hashlib
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from eacps.errors import FieldViolation, InvalidRequest, Unauthenticated

PREFIX = "eacps_"
ANYONE = "anyone"
"""The tenant of all callers where nobody is asked who they are."""
_OURS = "/eacps."
_HEADER, _SCHEME = "authorization", "bearer "
_DIGEST_DIGITS = 64
_MAX_TENANT = 64

tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default=ANYONE)
"""Whose call is being answered."""


def tenant_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Give whose call it is: by its key, else by the common name of its certificate, else `ANYONE`'s.

    Raises:
        Unauthenticated: The certificate's common name cannot be a tenant's.
    """
    if (name := tenant.get()) != ANYONE:
        return name
    names = context.auth_context().get("x509_common_name", ())
    if not names:
        return ANYONE
    name = bytes(next(iter(names))).decode(errors="replace")
    if not _is_tenant(name):
        raise Unauthenticated(f"the certificate's common name is not 1 to {_MAX_TENANT} letters, digits, - or _")
    return name


def new_key() -> str:
    """Make a key. It is shown once and never stored."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(key: str) -> str:
    """What the file of keys holds of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True)
class KeyRing:
    """The keys of all tenants, by digest.

    Args:
        tenants: Tenant by digest.
    """

    tenants: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> "KeyRing":
        """Read a file of keys: ``{"tenant": ["digest", ...]}``.

        Raises:
            InvalidRequest: It cannot be read, or holds something else.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            pairs = [(str(digest), name) for name, digests in data.items() for digest in digests]
        except (OSError, ValueError, AttributeError, TypeError) as exc:
            raise InvalidRequest([FieldViolation("api_keys", f"{path} cannot be read: {exc}")]) from exc
        if bad := sorted({name for digest, name in pairs if len(digest) != _DIGEST_DIGITS or not _is_tenant(name)}):
            raise InvalidRequest([FieldViolation("api_keys", f"{path}: not a tenant with digests: {', '.join(bad)}")])
        if not pairs:
            raise InvalidRequest([FieldViolation("api_keys", f"{path} holds no key: nobody could call")])
        return cls(dict(pairs))

    def tenant_of(self, key: str) -> str | None:
        """Give whose key it is; None for nobody's. Takes as long for any key."""
        digest, found = digest_of(key), None
        for known, name in self.tenants.items():
            if hmac.compare_digest(known, digest):
                found = name
        return found


def add_key(path: Path, name: str) -> str:
    """Make a key for a tenant, write its digest into the file of keys, and give the key.

    Raises:
        InvalidRequest: The tenant's name is none, or the file holds something else.
    """
    if not _is_tenant(name):
        raise InvalidRequest([FieldViolation("tenant", f"{name!r} is not 1 to {_MAX_TENANT} letters, digits, - or _")])
    known: dict[str, list[str]] = {}
    if path.exists():
        for digest, owner in KeyRing.read(path).tenants.items():
            known.setdefault(owner, []).append(digest)
    key = new_key()
    known.setdefault(name, []).append(digest_of(key))
    partial = path.with_name(path.name + ".partial")
    partial.touch(mode=0o600)
    partial.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
    return key


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Lets calls of our services in by their key; health and reflection tell nothing and stay open.

    Args:
        keys: Of all tenants; None asks nobody for one.
    """

    def __init__(self, keys: KeyRing | None) -> None:
        self._keys = keys

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """See who calls, before anything of the call is read."""
        if self._keys is not None and str(handler_call_details.method).startswith(_OURS):
            metadata: Any = handler_call_details.invocation_metadata or ()
            caller = self._keys.tenant_of(_key_in(metadata))
            if caller is None:
                return _refusal(await continuation(handler_call_details))
            tenant.set(caller)
        return await continuation(handler_call_details)


def _key_in(metadata: Any) -> str:
    for name, value in metadata:
        if name == _HEADER and isinstance(value, str) and value.lower().startswith(_SCHEME):
            return value[len(_SCHEME) :].strip()
    return ""


def _refusal(handler: Any) -> Any:
    """A handler of the same form that refuses. It raises like any other, so that one place makes statuses of errors."""
    if handler is None:
        return None

    def refuse() -> Any:
        raise Unauthenticated("no valid API key; send it as 'authorization: Bearer <key>'")

    async def call(_: Any, __: Any) -> Any:
        return refuse()

    async def stream(_: Any, __: Any) -> Any:
        yield refuse()

    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler(call, handler.request_deserializer, handler.response_serializer)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(stream, handler.request_deserializer, handler.response_serializer)
    return grpc.unary_unary_rpc_method_handler(call, handler.request_deserializer, handler.response_serializer)


def _is_tenant(name: object) -> bool:
    return (
        isinstance(name, str)
        and 1 <= len(name) <= _MAX_TENANT
        and all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in name)
    )

"""Who may call through a gateway."""

from dataclasses import dataclass

import grpc

from eacps.cli.composition import Composition
from eacps.cli.remote import PATIENCE
from eacps.cli.server_caller import DEFAULT_SERVER
from eacps.client import AsyncClient, CallFailed
from eacps.errors import FieldViolation, InvalidRequest
from eacps.settings import ANYWHERE
from eacps.settings.addresses import is_loopback


@dataclass(frozen=True)
class GatewayAccess:
    """Who may call.

    Args:
        needs_key: Whether every request needs a key.
        local: Whether only this machine may call.
    """

    needs_key: bool
    local: bool


async def access_to(composition: Composition, address: str) -> GatewayAccess:
    """Return who may call a gateway that listens on ``address``.

    Raises:
        InvalidRequest: Others than this machine could call a server that asks nobody for a key.
        CallFailed: The server cannot be reached, where that has to be known.
    """
    if is_loopback(address):
        return GatewayAccess(needs_key=False, local=True)
    if composition.settings.insecure == ANYWHERE:
        return GatewayAccess(needs_key=False, local=False)
    server = composition.server or DEFAULT_SERVER
    if await _admits_anyone(server, composition):
        text = (
            f"is {address}, which others can reach, and {server} admits callers without a key; "
            f"only EACPS_INSECURE={ANYWHERE} allows that"
        )
        raise InvalidRequest([FieldViolation("listen", text)])
    return GatewayAccess(needs_key=True, local=False)


async def _admits_anyone(server: str, composition: Composition) -> bool:
    async with AsyncClient(server, tls=composition.server_tls, retries=PATIENCE) as client:
        try:
            async for _ in client.list(page_size=1):
                break
        except CallFailed as exc:
            if exc.code is grpc.StatusCode.UNAUTHENTICATED:
                return False
            raise
    return True

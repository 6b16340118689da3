"""What can be checked before a model server is started or waited for: who may call, certificates,
judges, folders, addresses."""

import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path

from eacps.api import KeyRing, ServerTls
from eacps.api.tls import server_credentials
from eacps.assembly.judges import check_judges
from eacps.errors import AddressUnavailable, FieldViolation, InvalidRequest
from eacps.settings import Settings, check_access
from eacps.settings.addresses import split_address

_PROBE_BYTES = 4096


def preflight(settings: Settings) -> None:
    """Check what does not need Triton.

    The addresses are bound and released at once, so another program may still take them before the server does.

    Args:
        settings: Of the server to be started.

    Raises:
        InvalidRequest: An address is malformed, nothing says who may call, keys, certificates or rubrics cannot be
            read, or a judge's client library is not installed.
        AddressUnavailable: An address cannot be listened on.
        OSError: Nothing can be written to the folder of stored searches.
    """
    addresses = {"address": settings.address, "metrics": settings.metrics}
    listened = {name: address for name, address in addresses.items() if address is not None}
    _check_form(listened)
    check_access(settings)
    if settings.api_keys is not None:
        KeyRing.read(settings.api_keys)
    if settings.tls is not None:
        server_credentials(ServerTls(**vars(settings.tls)))
    check_judges(settings)
    if settings.store is not None:
        check_folder(settings.store.folder)
    for address in listened.values():
        _check_free(address)


def check_folder(folder: Path) -> None:
    """Check that searches can be kept in a folder.

    Raises:
        InvalidRequest: It cannot be made, is no folder, or has a path that no database's address can hold.
        OSError: Nothing can be written there for another reason.
    """
    if not _is_text(str(folder.absolute())):
        raise InvalidRequest([FieldViolation("data", f"{str(folder)!r}: its path is not valid UTF-8")])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
    except (FileNotFoundError, FileExistsError, NotADirectoryError) as exc:
        raise InvalidRequest([FieldViolation("data", f"{folder}: {exc.strerror}")]) from exc


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_form(addresses: Mapping[str, str]) -> None:
    violations = []
    for name, address in addresses.items():
        try:
            split_address(address)
        except ValueError as exc:
            violations.append(FieldViolation(name, str(exc)))
    if violations:
        raise InvalidRequest(violations)


def _check_free(address: str) -> None:
    host, port = split_address(address)
    try:
        family, kind, protocol, _, socket_address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gRPC does
            tried.bind(socket_address)
            tried.listen(1)
    except OSError as exc:
        raise AddressUnavailable(f"cannot listen on {address}: {exc.strerror or exc}") from exc

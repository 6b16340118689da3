"""Certificates of what serves HTTP: which are refused at the start, and renewal without a restart."""

import asyncio
import contextlib
import shutil
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from starlette.applications import Starlette

from eacps.errors import AddressUnavailable
from eacps.http.connections import ConnectionLimits
from eacps.http.serving import serving_http
from tests.api.certificates import Authority


async def serial_number(port: int, root: Path) -> str:
    """Serial number of the certificate that a new connection is shown, which has to be trusted."""
    context = ssl.create_default_context(cafile=root)
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    number = str(writer.get_extra_info("peercert")["serialNumber"])
    writer.close()
    await writer.wait_closed()
    return number


async def test_files_that_are_replaced_are_used_without_a_restart(tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    served, renewed = ours.issue("server", "127.0.0.1"), ours.issue("renewed", "127.0.0.1")
    async with serving_http(Starlette(), "127.0.0.1", 0, served) as port:
        first = await serial_number(port, ours.root)
        shutil.copy(renewed[0], served[0])
        halfway = [await serial_number(port, ours.root) for _ in range(2)]
        shutil.copy(renewed[1], served[1])
        after = [await serial_number(port, ours.root) for _ in range(2)]
    assert halfway == [first] * 2, "the key is not its own yet"
    assert after[1] != first


async def test_a_certificate_that_cannot_be_used_is_refused_at_the_start(tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    certificate, key = ours.issue("server", "127.0.0.1")
    another_key = ours.issue("another", "127.0.0.1")[1]
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    (tmp_path / "locked.key").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    for files in (
        (tmp_path / "absent.pem", key),
        (certificate, another_key),
        (key, certificate),
        (certificate, tmp_path / "locked.key"),
    ):
        with pytest.raises(AddressUnavailable, match="certificate for localhost cannot be used"):
            async with serving_http(Starlette(), "localhost", 0, files):
                pass


async def test_who_does_not_shake_hands_is_disconnected(tmp_path: Path) -> None:
    served = Authority(tmp_path).issue("server", "127.0.0.1")
    limits = ConnectionLimits(head_timeout_s=0.3)
    async with serving_http(Starlette(), "127.0.0.1", 0, served, limits) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(30):  # by default asyncio waits for a minute
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()

"""API keys: who is let in, what is stored, what is told."""

import json
import logging
import stat
from collections.abc import Callable
from pathlib import Path

import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from eacps.api.access import KeyRing, add_key, key_digest, new_key
from eacps.errors import InvalidRequest
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import Serve

MakeRequest = Callable[..., pb.RunSearchRequest]


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


async def searched(channel: grpc.aio.Channel, request: pb.RunSearchRequest, *metadata: tuple[str, str]) -> int:
    call = SearchServiceStub(channel).RunSearch(request, metadata=metadata, timeout=60)
    return len([event async for event in call])


def bearer(key: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {key}")


async def test_every_tenants_keys_are_let_in_and_the_log_says_whose(
    serve: Serve, make_request: MakeRequest, keys_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = [add_key(keys_file, name) for name in ("studio", "studio", "agency")]
    caplog.set_level(logging.INFO, "eacps")
    async with serve(keys=KeyRing.read(keys_file)) as channel:
        for key in keys:
            assert await searched(channel, make_request(), bearer(key)) > 3
        assert await searched(channel, make_request(), ("authorization", f"bearer  {keys[0]}")) > 3
    assert caplog.text.count("submitted by studio") == 3
    assert caplog.text.count("submitted by agency") == 1
    assert not any(key in caplog.text for key in keys)


async def test_who_has_no_key_is_refused_and_nothing_of_the_request_is_looked_at(
    serve: Serve, make_request: MakeRequest, keys_file: Path
) -> None:
    key = add_key(keys_file, "studio")
    wrong = [(), (bearer(""),), (bearer(new_key()),), (bearer(key[:-1]),), (bearer(key_digest(key)),)]
    wrong += [(("authorization", key),), (("authorization", f"Basic {key}"),), (("x-api-key", key),)]
    async with serve(keys=KeyRing.read(keys_file)) as channel:
        for metadata in wrong:
            for request in (make_request(), make_request(prompt="")):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await searched(channel, request, *metadata)
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
                status = rpc_status.from_call(caught.value)
                info = error_details_pb2.ErrorInfo()
                assert status.details[0].Unpack(info)
                assert info.reason == "UNAUTHENTICATED"
                assert key not in str(caught.value)


async def test_health_stays_open(serve: Serve, keys_file: Path) -> None:
    add_key(keys_file, "studio")
    async with serve(keys=KeyRing.read(keys_file)) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_a_key_is_shown_once_and_only_its_digest_is_kept(keys_file: Path) -> None:
    first, second = add_key(keys_file, "studio"), add_key(keys_file, "studio")
    assert first != second
    assert len(first) > 40
    assert json.loads(keys_file.read_text()) == {"studio": [key_digest(first), key_digest(second)]}
    assert stat.S_IMODE(keys_file.stat().st_mode) == 0o600
    ring = KeyRing.read(keys_file)
    assert [ring.tenant_of(key) for key in (first, second, new_key(), "")] == ["studio", "studio", None, None]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "é", "x" * 65])
def test_a_tenants_name_is_plain(keys_file: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match="tenant"):
        add_key(keys_file, name)
    assert not keys_file.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "7",
        "{}",
        '{"a": []}',
        '{"a": ["short"]}',
        '{"a": [7]}',
        '{"a": 7}',
        '{"a b": ["' + "0" * 64 + '"]}',
    ],
)
def test_a_file_that_holds_something_else_is_not_served_with(keys_file: Path, text: str) -> None:
    keys_file.write_text(text)
    with pytest.raises(InvalidRequest, match="api_keys"):
        KeyRing.read(keys_file)


def test_a_file_that_is_not_there_is_not_served_with(keys_file: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        KeyRing.read(keys_file)

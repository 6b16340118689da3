"""Which addresses are taken: those on which gRPC itself listens just where it was told to, and no others."""

from collections.abc import Callable

import grpc.aio
import pytest

from eacps.errors import InvalidRequest
from eacps.settings import Settings
from eacps.settings.addresses import address_of, split_address, target_of, targets_of, url_of

MALFORMED = [
    "50051",
    "localhost",
    ":50051",
    "0.0.0.0:",
    "0.0.0.0:99999",  # gRPC serves on 34463
    "0.0.0.0:65536",  # gRPC serves on a free port
    "0.0.0.0:-1",
    "0.0.0.0:+5",
    "0.0.0.0:5_0",
    "0.0.0.0:5o51",
    "0.0.0.0:http",  # gRPC serves on 80
    "0.0.0.0:٥٠",  # digits, but not ASCII's
    "0.0.0.0: 80",
    "::1:50051",  # the eighth group, or the port?
    "[::1]50051",
    "[::1:50051",
    "[127.0.0.1]:80",
    "[]:80",
    "256.0.0.1:80",
    "127.1:80",
    "1:80",
    "a..b:80",
    "-a:80",
    "a b:80",
    "host/path:80",
    "unix:/tmp/socket",
    "http://host:80",
    "127.0.0.1:1,127.0.0.1:2",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not HOST:PORT"):
        address_of(text)
    for name in ("EACPS_ADDRESS", "EACPS_METRICS"):
        with pytest.raises(InvalidRequest) as caught:
            Settings.from_environment({name: text})
        assert [violation.field for violation in caught.value.violations] == [name]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
        ("localhost:50051", ("localhost", 50051)),
        ("[::]:50051", ("::", 50051)),
        ("search_1.default.svc.cluster.local.:9400", ("search_1.default.svc.cluster.local.", 9400)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, parts: tuple[str, int]) -> None:
    assert split_address(address_of(text)) == parts


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "[::1]"])
async def test_grpc_listens_where_it_is_told_to(host: str, unused_tcp_port: int) -> None:
    server = grpc.aio.server()
    assert server.add_insecure_port(address_of(f"{host}:{unused_tcp_port}")) == unused_tcp_port
    await server.stop(0)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (target_of, "host:0"),
        (target_of, "dns:///host"),
        (target_of, "dns:///host:99999"),
        (target_of, "host:1,other:2"),
        (targets_of, "10.0.0.1:8001,10.0.0.2"),
        (targets_of, "10.0.0.1:8001,"),
        (targets_of, "one:8001,other:8001"),
        (url_of, "collector:4317"),
        (url_of, "http://collector"),
        (url_of, "http://collector:99999"),
        (url_of, "ftp://collector:4317"),
        (url_of, "http://collector:4317/v1/traces"),
    ],
)
def test_what_cannot_be_connected_to_is_refused(parse: Callable[[str], str], text: str) -> None:
    with pytest.raises(ValueError, match=r"^is "):
        parse(text)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (target_of, "studio.example:50051"),
        (target_of, "dns:///search:50051"),
        (targets_of, "triton:8001"),
        (targets_of, "dns:///triton:8001"),
        (targets_of, "10.0.0.1:8001,10.0.0.2:8001"),
        (targets_of, "[::1]:8001,[::2]:8001"),
        (url_of, "http://127.0.0.1:4317"),
        (url_of, "https://collector.example:4317/"),
    ],
)
def test_targets_are_taken_as_they_are(parse: Callable[[str], str], text: str) -> None:
    assert parse(text) == text

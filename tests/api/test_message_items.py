"""Requests of millions of items are refused before they are parsed; others pass, whatever their bytes."""

from collections.abc import Callable

import grpc.aio
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from eacps.api.message_items import MAX_ITEMS, check_items
from eacps.api.submission import check_envelope
from eacps.api.violations import Violations
from eacps.errors import InvalidRequest
from eacps.limits import MAX_SCORERS
from eacps.v1 import search_service_pb2 as pb
from eacps.v1.search_service_pb2_grpc import SearchServiceStub
from tests.api.conftest import Serve

RUN = pb.RunSearchRequest.DESCRIPTOR
MANY = MAX_ITEMS + 1


def field(number: int, data: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(number: int) -> bytes:
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*data, number])


@pytest.mark.parametrize(
    "data",
    [
        pb.RunSearchRequest(scorers=[pb.ScorerSettings()] * MANY),
        pb.RunSearchRequest(more_characters=[pb.Image()] * MANY),
        pb.RunSearchRequest(labels={f"{index:x}": "" for index in range(MANY // 3 + 1)}),
        pb.RunSearchRequest(search={"avoided_seeds": [1] * MANY}),
        pb.RunSearchRequest(search={"start": [pb.StartPoint(recipe={"terms": [pb.RecipeTerm()] * MANY})]}),
        pb.RunSearchRequest(search={"start": [pb.StartPoint(known={"others": [pb.KnownPoint()] * MANY})]}),
        field(99, b"") * MANY,
        varint(98 << 3) + b"\x05" + b"\x9b\x06\x9c\x06" * MANY,  # groups
        b"\x9b\x06" + field(7, b"\xff") + b"\x9c\x06" + field(8, b"") * MANY,  # what looks damaged within a group
    ],
    ids=lambda data: "",
)
def test_many_items_are_refused_wherever_they_are(data: pb.RunSearchRequest | bytes) -> None:
    encoded = data if isinstance(data, bytes) else data.SerializeToString()
    with pytest.raises(InvalidRequest, match=f"more than {MAX_ITEMS} fields"):
        check_items(encoded, RUN)


def test_the_largest_useful_request_passes() -> None:
    scores = {f"scorer-{index}": 0.5 for index in range(MAX_SCORERS)}
    other = pb.KnownPoint(recipe={"terms": [pb.RecipeTerm(seed=2**31, coefficient=1.0)]}, scores=scores, build="x")
    known = pb.KnownPoint(recipe=other.recipe, scores=other.scores, build="x", others=[other] * 64)
    search = pb.SearchSettings(start=[pb.StartPoint(known=known)] * 16, avoided_seeds=range(2**31, 2**31 + 4096))
    request = pb.RunSearchRequest(scene=pb.Image(data=bytes(4 * 2**20)), search=search)
    check_items(request.SerializeToString(), RUN)


@given(data=st.binary(max_size=300))
def test_bytes_that_are_no_message_are_left_to_its_parser(data: bytes) -> None:
    check_items(data, RUN)


@pytest.mark.parametrize("depth", [99, 150, 1000])
def test_a_message_that_is_too_deep_is_left_to_its_parser(depth: int) -> None:
    data = b""
    for _ in range(depth):
        data = field(4, data)
    encoded = field(7, field(9, field(3, data)))
    with pytest.raises(DecodeError):
        pb.RunSearchRequest.FromString(encoded)
    check_items(encoded, RUN)


async def test_a_request_of_a_million_scorers_is_not_parsed(
    serve: Serve, make_request: Callable[..., pb.RunSearchRequest]
) -> None:
    scorers = field(8, varint(5 << 3 | 2) + b"\0") * 1_000_000
    data = make_request().SerializeToString() + scorers + b"\xff"  # whose end a parser would refuse
    async with serve() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_stream("/eacps.v1.SearchService/RunSearch")(data, timeout=60).read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == f"request: has more than {MAX_ITEMS} fields and list items"


def test_a_long_request_id_is_refused_by_its_length() -> None:
    violations = Violations()
    check_envelope(violations, pb.RunSearchRequest(request_id="x" * 12 * 2**20))
    assert [violation.field for violation in violations.found] == ["request_id"]


async def test_unknown_fields_are_not_stored(serve: Serve, make_request: Callable[..., pb.RunSearchRequest]) -> None:
    data = make_request().SerializeToString() + field(99, bytes(5 * 2**20))
    async with serve() as channel:
        create = channel.unary_unary("/eacps.v1.SearchService/CreateSearch")
        created = pb.CreateSearchResponse.FromString(await create(field(1, data), timeout=60))
        request = pb.GetSearchRequest(search_id=created.search.search_id)
        found = await SearchServiceStub(channel).GetSearch(request, timeout=60)
    assert found.search.request.prompt == make_request().prompt
    assert found.ByteSize() < 2**14

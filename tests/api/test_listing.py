"""Pages of searches: sizes are coerced, tokens are opaque and bound to the filters, pages fit into a message."""

import base64
from typing import Any

import pytest
from google.rpc import code_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from eacps.api.converters import search_of
from eacps.api.listing import Listing, listing_of, page_of
from eacps.api.paging import token_of
from eacps.durable import Retention, SearchCursor, SearchState, StoredSearch
from eacps.errors import InvalidRequest
from eacps.v1 import search_service_pb2 as pb

GRPC_DEFAULT_BYTES = 4 * 2**20


def stored(number: int, **fields: Any) -> StoredSearch:
    """A search that has failed, the ``number``-th newest."""
    defaults: dict[str, Any] = {
        "id": f"{number:032x}",
        "tenant": "ada",
        "request": b"",
        "request_id": None,
        "labels": {},
        "priority": 100,
        "expires_s": None,
        "attached": False,
        "state": SearchState.FAILED,
        "created_s": 1e9 - number / 3,
        "started_s": None,
        "finished_s": None,
        "events": 1,
        "waiting": None,
        "result": None,
        "failure": None,
    }
    return StoredSearch(**{**defaults, **fields})


def next_of(token: str, **filters: Any) -> Listing:
    return listing_of(pb.ListSearchesRequest(page_token=token, **filters))


@pytest.mark.parametrize(
    ("asked", "size"), [(0, 50), (1, 1), (999, 999), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)]
)
def test_page_sizes_are_coerced(asked: int, size: int) -> None:
    assert listing_of(pb.ListSearchesRequest(page_size=asked)).page_size == size


def test_a_negative_page_size_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="page_size: is -1"):
        listing_of(pb.ListSearchesRequest(page_size=-1))


@given(st.floats(0, 4e9), st.integers(0, 2**128 - 1))
def test_the_next_page_begins_after_the_last_search(created_s: float, number: int) -> None:
    last = stored(0, id=f"{number:032x}", created_s=created_s)
    page, token = page_of([last, stored(1)], Listing(1, (), {}))
    assert page == [last]
    assert next_of(token).after == SearchCursor(created_s, f"{number:032x}")


def test_without_a_further_search_there_is_no_token() -> None:
    assert page_of([stored(0)], Listing(1, (), {})) == ([stored(0)], "")
    assert page_of([], Listing(1, (), {})) == ([], "")


def test_a_token_belongs_to_its_filters_and_not_to_the_page_size() -> None:
    filters: dict[str, Any] = {"states": [pb.SEARCH_STATE_FAILED], "labels": {"of": "test"}}
    listing = listing_of(pb.ListSearchesRequest(page_size=1, **filters))
    _, token = page_of([stored(0), stored(1)], listing)
    assert next_of(token, page_size=9, **filters).after == SearchCursor(1e9, stored(0).id)
    others: list[dict[str, Any]] = [{}, {"labels": {"of": "test"}}, {**filters, "labels": {"of": "another"}}]
    for other in others:
        with pytest.raises(InvalidRequest, match="page_token"):
            next_of(token, **other)


def test_an_altered_token_is_refused() -> None:
    _, token = page_of([stored(0), stored(1)], Listing(1, (), {}))
    data = base64.urlsafe_b64decode(token)
    for index in range(len(data)):
        altered = data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]
        with pytest.raises(InvalidRequest, match="page_token"):
            next_of(base64.urlsafe_b64encode(altered).decode())
    for other in (data[:-1], data + b"x", b""):
        with pytest.raises(InvalidRequest, match="page_token"):
            next_of(base64.urlsafe_b64encode(other).decode() or "=")


def test_the_largest_page_fits_into_a_message_and_nothing_is_left_out() -> None:
    labels = {f"{n:0>63}": "\U0001f600" * 255 for n in range(16)}
    failure = status_pb2.Status(code=code_pb2.UNAVAILABLE, message="\U0001f600" * 500).SerializeToString()
    left = [
        stored(n, labels=labels, failure=failure, request_id="r" * 128, finished_s=1.0, started_s=1.0)
        for n in range(500)
    ]
    listing, seen = Listing(1000, (), {}), list[StoredSearch]()
    while left:
        page, token = page_of(left[: listing.page_size + 1], listing)
        searches = [search_of(one, Retention(), brief=True) for one in page]
        answer = pb.ListSearchesResponse(searches=searches, next_page_token=token)
        assert answer.ByteSize() <= GRPC_DEFAULT_BYTES
        seen, left = seen + page, left[len(page) :]
        assert bool(token) == bool(left)
    assert [one.id for one in seen] == [stored(n).id for n in range(500)]


@pytest.mark.parametrize("position", [b"", b"x" * 23, b"x" * 25])
def test_a_token_that_somebody_else_made_is_refused(position: bytes) -> None:
    token = token_of(position, listing_of(pb.ListSearchesRequest()).filters)
    with pytest.raises(InvalidRequest, match="page_token"):
        next_of(token)

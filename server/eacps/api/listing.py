"""Lists of searches: what a request asks for, and its pages."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from eacps.api.paging import first_page, page_size_of, position_of, token_of
from eacps.api.submission import check_labels
from eacps.api.violations import Violations
from eacps.durable import SearchCursor, SearchState, StoredSearch
from eacps.enums import SEARCH_STATE
from eacps.errors import InvalidRequest
from eacps.v1 import search_service_pb2 as pb

STATES: Mapping[int, SearchState] = {number: SearchState(word) for word, number in SEARCH_STATE.numbers.items()}
_POSITION = struct.Struct(">d16s")
"""When the last search of a page was created, and its id."""


@dataclass(frozen=True)
class Listing:
    """What to list: at most ``page_size`` searches after a position, in these states, with these labels."""

    page_size: int
    states: tuple[SearchState, ...]
    labels: Mapping[str, str]
    after: SearchCursor | None = None

    @property
    def filters(self) -> bytes:
        """What a page token is bound to."""
        return json.dumps([sorted(set(self.states)), sorted(self.labels.items())]).encode()


def listing_of(request: pb.ListSearchesRequest) -> Listing:
    """Check a request.

    Raises:
        InvalidRequest: Names every invalid field.
    """
    violations = Violations()
    if unknown := [int(state) for state in request.states if state not in STATES]:
        violations.add("states", f"{unknown[0]} is not known")
    check_labels(violations, request.labels)
    states = tuple(STATES[state] for state in request.states if state in STATES)
    listing = Listing(page_size_of(violations, request.page_size), states, dict(request.labels))
    position = position_of(violations, request.page_token, listing.filters, size=_POSITION.size)
    if violations.found:
        raise InvalidRequest(violations.found)
    if position is None:
        return listing
    created_s, search_id = _POSITION.unpack(position)
    return replace(listing, after=SearchCursor(created_s, search_id.hex()))


def page_of(found: Sequence[StoredSearch], listing: Listing) -> tuple[Sequence[StoredSearch], str]:
    """Return a page and the token of the next one, empty if there is none.

    Args:
        found: The searches from the position on, one more than fit into the page if there are so many.
        listing: What was asked for.
    """
    page = first_page(found, listing.page_size, _size)
    if len(found) <= len(page):
        return page, ""
    last = page[-1]
    return page, token_of(_POSITION.pack(last.created_s, bytes.fromhex(last.id)), listing.filters)


def _size(search: StoredSearch) -> int:
    """Estimate the bytes of a search in a list, without its request and result, from above."""
    labels = sum(len(key.encode()) + len(value.encode()) + 16 for key, value in search.labels.items())
    return 512 + labels + len(search.failure or b"")

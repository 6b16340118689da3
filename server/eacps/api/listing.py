"""Pages of a list of searches."""

import base64
import binascii
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from eacps.api.converters import STATE_NUMBERS
from eacps.api.faults import Faults
from eacps.api.submission import check_labels
from eacps.durable import Place, SearchState, StoredSearch
from eacps.errors import InvalidRequest
from eacps.v1 import search_service_pb2 as pb

DEFAULT_PAGE, MAX_PAGE = 50, 1000
_ID = re.compile(r"[0-9a-f]{32}")
STATES: Mapping[int, SearchState] = {number: state for state, number in STATE_NUMBERS.items()}


@dataclass(frozen=True)
class Listing:
    """What is to be listed: at most ``page_size`` after a place, in these states, with these labels."""

    page_size: int
    states: tuple[SearchState, ...]
    labels: Mapping[str, str]
    after: Place | None = None

    @property
    def fingerprint(self) -> str:
        """Short digest of the filters."""
        text = json.dumps([sorted(self.states), sorted(self.labels.items())])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def listing_of(request: pb.ListSearchesRequest) -> Listing:
    """Check a request.

    Raises:
        InvalidRequest: Names every field at fault.
    """
    faults = Faults()
    size = faults.count(request, "page_size", 1, MAX_PAGE, default=DEFAULT_PAGE)
    if unknown := [int(state) for state in request.states if state not in STATES]:
        faults.add("states", f"{unknown[0]} is not known")
    check_labels(faults, request.labels)
    states = tuple({STATES[state]: None for state in request.states if state in STATES})
    listing = Listing(size, states, dict(request.labels))
    after = None
    if request.page_token:
        try:
            fingerprint, after = _place_of(request.page_token)
        except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError):
            faults.add("page_token", "is none that was given out")
        else:
            if fingerprint != listing.fingerprint:
                faults.add("page_token", "is of a list with other filters")
    if faults.found:
        raise InvalidRequest(faults.found)
    return Listing(size, states, listing.labels, after)


def _place_of(token: str) -> tuple[str, Place]:
    """Read a token: of which filters it is, and the place; raises as its parts do where it is none of ours."""
    fingerprint, created_s, search_id = json.loads(base64.urlsafe_b64decode(token))
    place = Place(float(created_s), str(search_id))
    if not math.isfinite(place.created_s) or not _ID.fullmatch(place.id):
        raise ValueError("no place in a list")
    return str(fingerprint), place


def page_token_of(last: StoredSearch, listing: Listing) -> str:
    """Name the place after a page's last search."""
    text = json.dumps([listing.fingerprint, last.created_s, last.id])
    return base64.urlsafe_b64encode(text.encode()).decode()

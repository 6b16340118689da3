"""Pages of long lists (AIP-158): sizes are coerced, tokens are opaque and bound to what the list is of.

A token holds a position and a checksum over it and the rest of the request, so that a token that was altered, or is
used with another request, is refused.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from eacps.api.violations import Violations
from eacps.limits import RANGES

MOST_PAGE_BYTES = 3 * 2**20
"""Items in one page: gRPC clients accept messages of 4 MiB by default."""
_CHECKSUM_BYTES = 8
T = TypeVar("T")


def page_size_of(violations: Violations, size: int) -> int:
    """Coerce a page size: 0 is the default, too many are the most."""
    accepted = RANGES["page_size"]
    if size < 0:
        violations.add("page_size", f"is {size}, below 0")
    return min(size, int(accepted.most)) if size > 0 else int(accepted.default or accepted.most)


def first_page(items: Sequence[T], most: int, size_of: Callable[[T], int]) -> Sequence[T]:
    """Return the first items, at most ``most``, that fit into a message; at least one if there is any.

    Args:
        items: In order.
        most: Largest number of items.
        size_of: Returns the bytes of an item.
    """
    room = MOST_PAGE_BYTES
    for index, item in enumerate(items[:most]):
        room -= size_of(item)
        if room < 0 and index:
            return items[:index]
    return items[:most]


def token_of(position: bytes, bound: bytes) -> str:
    """Return the token of a position in the list that ``bound`` describes."""
    return base64.urlsafe_b64encode(position + _checksum(position, bound)).decode()


def position_of(violations: Violations, token: str, bound: bytes, *, size: int) -> bytes | None:
    """Return the position of a token; None if there is no token, or if it is not one of this list.

    The checksum has no secret: anyone can write a token, so that only its form is certain, not its position.

    Args:
        violations: Collects them.
        token: As it came.
        bound: The rest of the request.
        size: Bytes of a position.
    """
    if not token:
        return None
    try:
        data = base64.urlsafe_b64decode(token.encode("ascii"))
    except (binascii.Error, ValueError):
        data = b""
    position, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if len(position) == size and checksum == _checksum(position, bound):
        return position
    violations.add("page_token", "is not the token of a list with these filters")
    return None


def _checksum(position: bytes, bound: bytes) -> bytes:
    return hashlib.sha256(len(position).to_bytes(4) + position + bound).digest()[:_CHECKSUM_BYTES]

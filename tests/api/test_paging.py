"""Pages hold as many items as asked for and as fit into a message."""

import pytest

from eacps.api.paging import MOST_PAGE_BYTES, first_page, position_of, token_of
from eacps.api.violations import Violations


@pytest.mark.parametrize(
    ("sizes", "most", "count"),
    [
        ([], 5, 0),
        ([1] * 9, 5, 5),
        ([1] * 3, 5, 3),
        ([MOST_PAGE_BYTES], 5, 1),
        ([MOST_PAGE_BYTES - 1, 1, 1], 5, 2),
        ([MOST_PAGE_BYTES + 1, 1], 5, 1),  # a page is never empty, or the list would not end
        ([1, MOST_PAGE_BYTES], 5, 1),
    ],
)
def test_a_page_is_bounded_by_number_and_bytes(sizes: list[int], most: int, count: int) -> None:
    assert first_page(sizes, most, lambda size: size) == sizes[:count]


def test_a_token_is_good_for_what_it_is_bound_to() -> None:
    token = token_of(b"position", b"bound")
    violations = Violations()
    assert position_of(violations, token, b"bound", size=8) == b"position"
    assert position_of(violations, "", b"bound", size=8) is None
    assert not violations.found
    for wrong in (
        token[:-4],
        token.lower(),
        "=",
        "é",
        token_of(b"position", b"other"),
        token_of(b"positio", b"nbound"),
    ):
        for size in (7, 8):
            violations = Violations()
            assert position_of(violations, wrong, b"bound", size=size) is None
            assert [one.field for one in violations.found] == ["page_token"]


@pytest.mark.parametrize("position", [b"", b"x", b"position" * 1000])
def test_a_token_that_somebody_else_made_has_a_position_of_the_right_size(position: bytes) -> None:
    violations = Violations()
    assert position_of(violations, token_of(position, b"bound"), b"bound", size=8) is None
    assert [one.field for one in violations.found] == ["page_token"]

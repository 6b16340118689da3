"""Names in messages."""

from collections.abc import Iterable

NAMES_SHOWN = 5


def listed(names: Iterable[str]) -> str:
    """Write names in order: the first few, and how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - NAMES_SHOWN} more" if len(ordered) > NAMES_SHOWN else ""
    return ", ".join(ordered[:NAMES_SHOWN]) + more

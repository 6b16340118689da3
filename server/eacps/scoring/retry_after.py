"""How long a provider asks to wait, as its headers say it."""

import email.utils
import math
import time
from collections.abc import Mapping


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """Read ``retry-after-ms`` (OpenAI, Azure) or ``retry-after`` (RFC 9110): seconds or a date; None if there is none.

    Args:
        headers: Of the response, with case-insensitive names.
    """
    milliseconds = plain_seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000.0
    value = headers.get("retry-after")
    seconds = plain_seconds(value)
    return _until(value) if seconds is None and value else seconds


def plain_seconds(value: str | None) -> float | None:
    """Read a number of seconds; None if it is absent, below 0 or no number."""
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return seconds if 0.0 <= seconds < math.inf else None


def _until(date: str) -> float | None:
    try:
        at = email.utils.parsedate_to_datetime(date)
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, at.timestamp() - time.time())

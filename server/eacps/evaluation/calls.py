"""Calls to models and scorers: each bounded in time, and tried again where Triton was not available."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from eacps.errors import DeadlineExceeded, TritonUnavailable
from eacps.evaluation.deadline import Deadline
from eacps.evaluation.ports import Pace

_log = logging.getLogger(__name__)
_MOST_DELAYS = 10
T = TypeVar("T")


class Calls:
    """Makes the calls of one search.

    Args:
        search_id: Names it in logs.
        deadline: Of the search.
        pace: How often to try again, and after which pauses.
    """

    def __init__(self, search_id: str, deadline: Deadline, *, pace: Pace) -> None:
        self._search_id, self._deadline, self._pace = search_id, deadline, pace

    async def patiently(self, call: Callable[[float], Awaitable[T]], *, cap_s: float) -> T:
        """Call, and again after a pause if Triton was not available.

        Args:
            call: Given the seconds it may take; ends with `DeadlineExceeded` once they have passed.
            cap_s: Most seconds for one try, however much time the search has left.

        Raises:
            DeadlineExceeded: The search's time is up.
            TritonUnavailable: Not available on any try, or no answer within ``cap_s``, which is not tried again.
        """
        tried = 0
        while True:
            left_s = self._deadline.left_s()
            timeout_s = cap_s if left_s is None else min(cap_s, left_s)
            try:
                return await call(timeout_s)
            except DeadlineExceeded as exc:
                if timeout_s == left_s:
                    raise
                raise TritonUnavailable(f"no answer within {cap_s:g} s ({exc})") from exc
            except TritonUnavailable as exc:
                if tried >= self._pace.retries:
                    raise
                _log.warning("search %s: trying again: %s", self._search_id, exc)
            await asyncio.sleep(self._pace.retry_delay_s * min(2**tried, _MOST_DELAYS))
            tried += 1

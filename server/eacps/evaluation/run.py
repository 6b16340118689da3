"""One search, from its plan to a stream of updates."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from eacps.errors import DeadlineExceeded
from eacps.evaluation.deadline import Deadline
from eacps.evaluation.plan import SearchPlan
from eacps.evaluation.ports import Laboratory
from eacps.evaluation.session import Session
from eacps.evaluation.updates import SearchUpdate
from eacps.search.cohort import TrialKey

_log = logging.getLogger(__name__)
_NO_DEADLINE = Deadline()


async def run_search(
    plan: SearchPlan, laboratory: Laboratory, *, deadline: Deadline = _NO_DEADLINE, told: Sequence[TrialKey] = ()
) -> AsyncGenerator[SearchUpdate, None]:
    """Run a search and yield what happens.

    Closing the generator (``contextlib.aclosing``) or cancelling the task that waits on it ends everything below, down
    to the denoising step, before it returns.

    Args:
        plan: What to search for.
        laboratory: Where.
        deadline: When to give up.
        told: Where the search was cut off and goes on from its recorded steps: the trials that it had reported, in
            their order. The updates up to there then come again in the same order.

    Yields:
        `SearchStarted`, `PriorReady`, then `CandidateScored` as candidates are done and `RoundFinished` after each
        round, and last `SearchFinished`.

    Raises:
        NoFaceFound: A picture shows no face, or not the one that is meant.
        EvaluationFailed: Pictures of the first round were made, but not one could be scored.
        DeadlineExceeded: Time is up.
        InvalidRequest: A model does not take what the caller asked for, such as a prompt of too many tokens.
        TritonUnavailable, TritonModelFailed: The prior could not be made, or two micro-batches in a row, or the only
            one of a round.
    """
    # The search runs in a task of its own: a task group held open across a yield would cancel whoever reads.
    updates: asyncio.Queue[SearchUpdate] = asyncio.Queue(maxsize=laboratory.pace.updates_ahead)
    search = asyncio.create_task(_drive(plan, laboratory, deadline, updates.put, told), name=f"search {plan.search_id}")
    del plan  # and with it the pictures as they came
    try:
        while (update := await _next(updates, search)) is not None:
            yield update
        search.result()  # raises what ended the search
    finally:
        search.cancel()
        await asyncio.wait({search})
        if not search.cancelled():
            search.exception()  # seen, where the reader left before the end


async def _next(updates: asyncio.Queue[SearchUpdate], search: asyncio.Task[None]) -> SearchUpdate | None:
    """Wait for the next update; None once the search has ended and all its updates are read."""
    getting = asyncio.ensure_future(updates.get())
    try:
        await asyncio.wait({getting, search}, return_when=asyncio.FIRST_COMPLETED)
        if getting.done():
            return getting.result()
        return None if updates.empty() else updates.get_nowait()
    finally:
        getting.cancel()


async def _drive(
    plan: SearchPlan,
    laboratory: Laboratory,
    deadline: Deadline,
    emit: Callable[[SearchUpdate], Awaitable[None]],
    told: Sequence[TrialKey],
) -> None:
    session, search_id = Session(plan, laboratory, deadline, emit, told=told), plan.search_id
    del plan  # the session lets go of its pictures once they are fitted
    try:
        async with asyncio.timeout(deadline.left_s()) as limit:
            await session.run()
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise DeadlineExceeded("time is up") from exc
    except ExceptionGroup as group:
        # Task groups wrap; callers look for errors of the tree. The first failure cancelled all others.
        raise _first_of(group) from group
    except asyncio.CancelledError:
        _log.info("search %s: cancelled", search_id)
        raise


def _first_of(group: ExceptionGroup[Exception]) -> Exception:
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, ExceptionGroup) else first

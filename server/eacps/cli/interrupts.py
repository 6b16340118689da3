"""Lets Ctrl-C and SIGTERM end a command in order, whatever it is doing, so that no model server is left running."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from eacps.cli.outcome import Terminated

T = TypeVar("T")


@contextmanager
def terminable() -> Iterator[None]:
    """Within it SIGTERM raises `Terminated` in the main thread, as Ctrl-C raises KeyboardInterrupt."""

    def terminate(_signal: int, _frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_cancellable(
    work: Callable[[], Coroutine[Any, Any, T]], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> T:
    """Run asynchronous work; Ctrl-C and SIGTERM cancel it and wait for it to clean up.

    An exception thrown by a signal into a running event loop could get lost in a callback; a cancellation cannot.

    Args:
        work: The work.
        loop_factory: Makes the event loop; None makes asyncio's own.

    Raises:
        KeyboardInterrupt, Terminated: After the work has ended.
    """
    before = signal.getsignal(signal.SIGTERM)
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(_until_terminated(work))
    finally:
        signal.signal(signal.SIGTERM, before)  # the loop has put the system's own handler in its place


async def _until_terminated(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    loop, task, terminated = asyncio.get_running_loop(), asyncio.ensure_future(work()), asyncio.Event()

    def terminate() -> None:
        terminated.set()
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await task
    except asyncio.CancelledError:
        if terminated.is_set():
            raise Terminated from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def signals_to_end() -> asyncio.Event:
    """Return an event that Ctrl-C and SIGTERM set from now on, both being the ordinary end of a server.

    To be called in the event loop, before the address is printed: whoever reads it may end the server at once.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


async def first_of(*awaitables: Awaitable[object]) -> None:
    """Wait for the first to end, cancel the others, raise what it raised."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    for task in done:
        task.result()

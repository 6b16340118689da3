"""Lets Ctrl-C, SIGTERM and SIGHUP end a command in order, whatever it does, so that no model server is left running.

SIGHUP is what the end of a terminal or of an SSH connection sends. Whoever starts a command by ``nohup`` ignores it,
and so does the command then.
"""

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
    """Within it SIGTERM and SIGHUP raise `Terminated` in the main thread, as Ctrl-C raises KeyboardInterrupt."""

    def terminate(_signal: int, _frame: FrameType | None) -> None:
        raise Terminated

    before = {number: signal.signal(number, terminate) for number in _terminations()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminations() -> list[signal.Signals]:
    """Return the signals that ask for an orderly end, but for Ctrl-C and those that are ignored."""
    return [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is not signal.SIG_IGN]


def run_cancellable(
    work: Callable[[], Coroutine[Any, Any, T]], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> T:
    """Run asynchronous work; Ctrl-C, SIGTERM and SIGHUP cancel it and wait for it to clean up.

    An exception thrown by a signal into a running event loop could get lost in a callback; a cancellation cannot.

    Args:
        work: The work.
        loop_factory: Makes the event loop; None makes asyncio's own.

    Raises:
        KeyboardInterrupt, Terminated: After the work has ended.
    """
    before = {number: signal.getsignal(number) for number in _terminations()}
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(_until_terminated(work))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # the loop has put the system's own handler in its place


async def _until_terminated(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    loop, task, terminated = asyncio.get_running_loop(), asyncio.ensure_future(work()), asyncio.Event()

    def terminate() -> None:
        terminated.set()
        task.cancel()

    numbers = _terminations()
    for number in numbers:
        loop.add_signal_handler(number, terminate)
    try:
        return await task
    except asyncio.CancelledError:
        if terminated.is_set():
            raise Terminated from None
        raise
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def signals_to_end() -> asyncio.Event:
    """Return an event that Ctrl-C, SIGTERM and SIGHUP set from now on: the ordinary end of a server.

    To be called in the event loop, before the address is printed: whoever reads it may end the server at once.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, *_terminations()):
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

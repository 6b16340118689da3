"""``eacps up`` and ``eacps serve``: the search server in the foreground, until Ctrl-C or SIGTERM."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from eacps.api import SearchServer
from eacps.assembly import serving
from eacps.cli.composition import Composition
from eacps.cli.embedding import embedded_triton
from eacps.cli.exit_codes import ExitCode
from eacps.cli.interrupts import run_cancellable, wait_for_signal
from eacps.cli.outcome import CommandFailed
from eacps.errors import TritonUnavailable
from eacps.settings import Settings
from eacps.triton.embedded import EmbeddedTriton

_WATCH_INTERVAL_S = 0.5


@dataclass(frozen=True)
class Serving:
    """How to serve.

    Args:
        composition: With the command's options applied.
        console: For people; standard error.
        as_json: Say on standard output, as one line of JSON, where the server listens once it does.
    """

    composition: Composition
    console: Console
    as_json: bool = False

    def up(self, log_file: Path) -> None:
        """Serve over an embedded Triton, whose output goes to ``log_file``."""
        with embedded_triton(self.composition.model_repository, log_file, self.console) as triton:
            settings = self.composition.with_options(triton=triton.grpc_url).settings
            run_cancellable(lambda: self._serve(settings, lambda: _death_of(triton)))

    def over_triton(self) -> None:
        """Serve over the Triton that the settings name."""
        run_cancellable(lambda: self._serve(self.composition.settings, asyncio.Event().wait))

    async def _serve(self, settings: Settings, death: Callable[[], Awaitable[object]]) -> None:
        async with AsyncExitStack() as stack:
            self.console.print(f"waiting for Triton on {settings.triton}", markup=False)
            server = await start_serving(stack, settings)
            address = f"{settings.address.rpartition(':')[0]}:{server.port}"
            self.console.print(f"[bold green]serving[/] on {escape(address)}; Ctrl-C ends it")
            if self.as_json:
                print(json.dumps({"address": address, "triton": settings.triton}), flush=True)
            await _first_of(wait_for_signal(), death())
            self.console.print("stopping")


async def start_serving(stack: AsyncExitStack, settings: Settings) -> SearchServer:
    """A search server that serves until ``stack`` is unwound.

    Raises:
        CommandFailed: The address cannot be bound.
        EacpsError: What `eacps.assembly.serving` raises.
    """
    try:
        return await stack.enter_async_context(serving(settings))
    except RuntimeError as exc:
        message = f"cannot listen on {settings.address}: {exc}"
        raise CommandFailed(message, ExitCode.REQUEST, code="ADDRESS_UNAVAILABLE") from exc


async def _death_of(triton: EmbeddedTriton) -> None:
    """Wait for the end of a Triton that nobody has asked to end.

    Raises:
        TritonUnavailable: It has ended.
    """
    while triton.running:
        await asyncio.sleep(_WATCH_INTERVAL_S)
    raise TritonUnavailable(f"Triton has ended by itself; its log: {triton.log_file}")


async def _first_of(*awaitables: Awaitable[object]) -> None:
    """Wait for the first to end, cancel the others, raise what it raised."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    for task in done:
        task.result()

"""``eacps up`` and ``eacps serve``: the search server in the foreground, until Ctrl-C or SIGTERM."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import uvloop
from rich.console import Console
from rich.markup import escape

from eacps.assembly import preflight, serving
from eacps.cli.composition import Composition
from eacps.cli.embedding import embedded_triton
from eacps.cli.interrupts import first_of, run_cancellable, signals_to_end
from eacps.cli.streams import print_json
from eacps.descriptors import allow_descriptors
from eacps.errors import TritonUnavailable
from eacps.settings import Settings
from eacps.triton.embedded import EmbeddedTriton

_WATCH_INTERVAL_S = 0.5
_RESTARTS, _RESTARTS_WITHIN_S = 3, 300.0
"""An embedded Triton that ends by itself more often than that is given up."""


@dataclass(frozen=True)
class Serving:
    """Runs the search server.

    Args:
        composition: With the command's options applied.
        console: For people; standard error.
        as_json: Print one line of JSON with the address on standard output once the server listens.
    """

    composition: Composition
    console: Console
    as_json: bool = False

    def up(self, log_file: Path) -> None:
        """Serve over an embedded Triton, whose output goes to ``log_file``, and which is restarted if it ends.

        Raises:
            EacpsError: What `eacps.assembly.preflight` and `eacps.assembly.serving` raise; the former before Triton is
                started.
        """
        preflight(self.composition.settings)
        allow_descriptors()
        with embedded_triton(self.composition, log_file, self.console) as triton:
            settings = self.composition.with_options(triton=triton.grpc_url).settings
            run_cancellable(
                lambda: self._serve(settings, lambda: kept_running(triton, self.console)), uvloop.new_event_loop
            )

    def over_triton(self) -> None:
        """Serve over the Triton that the settings name."""
        allow_descriptors()
        run_cancellable(lambda: self._serve(self.composition.settings, asyncio.Event().wait), uvloop.new_event_loop)

    async def _serve(self, settings: Settings, death: Callable[[], Awaitable[object]]) -> None:
        self.console.print(f"waiting for Triton on {settings.triton}", markup=False)
        async with serving(settings) as server:
            address = f"{settings.address.rpartition(':')[0]}:{server.port}"
            stop = signals_to_end()
            self.console.print(f"[bold green]serving[/] on {escape(address)}; Ctrl-C ends it")
            if self.as_json:
                print_json({"address": address, "triton": settings.triton})
            await first_of(stop.wait(), death())
            self.console.print("stopping")


async def kept_running(triton: EmbeddedTriton, console: Console) -> None:
    """Restart a Triton whenever it ends by itself; searches wait meanwhile.

    Raises:
        TritonUnavailable: It ends too often, or does not start again.
        TritonNotInstalled: What it needs is not there any more.
    """
    ends: list[float] = []
    while True:
        while triton.running:
            await asyncio.sleep(_WATCH_INTERVAL_S)
        now_s = time.monotonic()
        ends = [*(end_s for end_s in ends if now_s - end_s < _RESTARTS_WITHIN_S), now_s]
        what = f"Triton has ended by itself; its log: {triton.log_file}"
        if len(ends) > _RESTARTS:
            raise TritonUnavailable(f"{what}\nit was restarted {_RESTARTS} times within {_RESTARTS_WITHIN_S:g} s")
        console.print(f"{what}; starting it again", markup=False, soft_wrap=True)
        try:
            await asyncio.to_thread(triton.restart)
        except asyncio.CancelledError:
            triton.stop(grace_s=0.0)  # the thread that waits for it to be ready ends with it
            raise
        console.print("Triton is back", markup=False)

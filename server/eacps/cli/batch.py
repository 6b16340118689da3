"""``eacps batch``: a list of shots, each searched once, with a table of what becomes of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from eacps.cli.batch_view import BatchView
from eacps.cli.exit_codes import ExitCode
from eacps.cli.files import make_folder
from eacps.cli.outcome import CommandFailed, exit_code_of
from eacps.cli.server_caller import ServerCaller
from eacps.cli.streams import print_json
from eacps.client import AsyncBatch, AsyncClient, BatchRunning, InvalidBatch, Shot, ShotEntry
from eacps.client.batch_files import FILE_EXISTS

_OF_SHOTS = ("NO_CANDIDATE", FILE_EXISTS)
"""Reasons of failures that the batch itself finds, which no server reports."""
_SUCCEEDED = "succeeded"


@dataclass(frozen=True)
class BatchOptions:
    """How a batch is run.

    Args:
        out: Its folder.
        name: Of the files in it; see `eacps.client.batch_files.BatchFiles`.
        top: How many candidates of each shot are written.
        overwrite: Whether files with another content are replaced.
        cancel_on_interrupt: Whether Ctrl-C cancels the searches that are not over; they are left running otherwise.
    """

    out: Path
    name: str
    top: int
    overwrite: bool
    cancel_on_interrupt: bool


def run_batch(caller: ServerCaller, shots: Sequence[Shot], options: BatchOptions) -> None:
    """Search for what is missing, and report what failed.

    Raises:
        CommandFailed: A row is at fault, the server is not there, or a shot failed.
    """
    make_folder(options.out)
    caller.console.print(f"{len(shots)} shots: checking those that are new", highlight=False)
    with BatchView(caller.console) as view:
        entries = caller.call(lambda client: _run(client, shots, options, view, caller))
    failed = [entry for entry in entries if entry.state != _SUCCEEDED or entry.failure]
    if caller.as_json:
        print_json([_json_of(entry) for entry in entries])
    else:
        caller.results.print(f"{len(entries) - len(failed)} of {len(shots)} shots in {options.out}", markup=False)
        for entry in failed:
            caller.results.print(
                f"[red]{escape(entry.shot)}[/]: {escape(entry.failure)}", highlight=False, soft_wrap=True
            )
    if failed:
        message = f"{len(failed)} of {len(shots)} shots failed; run the same command again to try them again"
        raise CommandFailed(message, max(_exit_code(entry.reason) for entry in failed), code="SHOTS_FAILED")


async def _run(
    client: AsyncClient, shots: Sequence[Shot], options: BatchOptions, view: BatchView, caller: ServerCaller
) -> list[ShotEntry]:
    batch = AsyncBatch(
        client, shots, options.out, name=options.name, top=options.top, overwrite=options.overwrite, watch=view.show
    )
    try:
        return await batch.run()
    except InvalidBatch as exc:
        violations = tuple((one.field, one.description) for one in exc.violations)
        raise CommandFailed(
            "the list has invalid shots", ExitCode.REQUEST, code="SHOTS", violations=violations
        ) from exc
    except BatchRunning as exc:
        raise CommandFailed(str(exc), ExitCode.REQUEST, code="BATCH_RUNNING") from exc
    except asyncio.CancelledError:
        if options.cancel_on_interrupt:
            await batch.cancel()
        outcome = "cancelled" if options.cancel_on_interrupt else "left running; run the same command to go on"
        caller.console.print(f"searches are {outcome}", highlight=False)
        raise


def _exit_code(reason: str) -> ExitCode:
    """Return what a shot's failure means: its reason is of the error tree, a gRPC status code, or the batch's own."""
    if reason in _OF_SHOTS:
        return ExitCode.REQUEST
    return min(exit_code_of(reason, reason), ExitCode.SERVER)


def _json_of(entry: ShotEntry) -> dict[str, object]:
    return {
        "shot": entry.shot,
        "search_id": entry.search_id,
        "state": entry.state,
        "best": entry.best or None,
        "files": list(entry.files.values()),
        "reason": entry.reason or None,
        "failure": entry.failure or None,
    }

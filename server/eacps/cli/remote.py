"""One search against a server: follow it, and translate failures for a person."""

from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace

import grpc

from eacps.cli.exit_codes import ExitCode
from eacps.cli.outcome import CommandFailed, exit_code_of
from eacps.client import AsyncClient, CallFailed, ClientTls, InvalidSettings, Retries
from eacps.client.record import CompleteSearch, SearchRecord
from eacps.v1 import search_service_pb2 as pb

PATIENCE = Retries(attempts=4)
"""A person is waiting: a server that is away for some seconds is reported."""

Watcher = Callable[[pb.SearchEvent, SearchRecord], None]


async def run_remote_search(
    server: str,
    request: pb.RunSearchRequest,
    watch: Watcher,
    *,
    on_submitted: Callable[[pb.Search], None] | None = None,
    tls: ClientTls | None = None,
    api_key: str | None = None,
    timeout_s: float | None = None,
    layers: bool = False,
) -> CompleteSearch:
    """Run a search to its end.

    Args:
        server: ``host:port`` of the search server.
        request: What to search for.
        watch: Called with every event, after the record has added it.
        on_submitted: Called with the search when it has been submitted.
        tls: How to trust the server; None speaks in the clear.
        api_key: Sent with the call; None sends none.
        timeout_s: Deadline of the whole search; None for none.
        layers: Whether the result's layers are fetched too.

    Raises:
        CommandFailed: The server cannot be reached, ended the call with an error, or had no time for one candidate.
    """
    record = SearchRecord()
    with translated_errors(server):
        async with AsyncClient(server, tls=tls, api_key=api_key, retries=PATIENCE) as client:
            async with aclosing(client.run(request, timeout_s=timeout_s, on_submitted=on_submitted)) as events:
                async for event in events:
                    record.add(event)
                    watch(event, record)
            search = completed(record)
            if not layers:
                return search
            fetched = await client.layers(search.started.search_id, search.finished.best_candidate_id)
            return replace(search, layers=fetched)


def completed(record: SearchRecord) -> CompleteSearch:
    """Return the finished search.

    Raises:
        CommandFailed: It ended before its first candidate.
    """
    if record.finished is not None and not record.finished.best_candidate_id:
        raise _nothing_done(record.finished.stop_reason)
    return record.complete()


def _nothing_done(reason: pb.StopReason) -> CommandFailed:
    """Return what ended a search before its first candidate."""
    if reason == pb.STOP_REASON_WALL_TIME:
        allowed = "no candidate was done in the time allowed (--timeout, --max-seconds)"
        return CommandFailed(allowed, ExitCode.TIMEOUT, code=grpc.StatusCode.DEADLINE_EXCEEDED.name)
    bound = _BOUNDS.get(reason, pb.StopReason.Name(reason))
    return CommandFailed(f"{bound} is too little for one candidate", ExitCode.REQUEST, code="BUDGET_TOO_SMALL")


_BOUNDS = {
    pb.STOP_REASON_NFE: "--max-evaluations",
    pb.STOP_REASON_PICTURES: "--max-pictures",
    pb.STOP_REASON_VLM_CALLS: "--max-vlm-calls",
}


@contextmanager
def translated_errors(server: str) -> Iterator[None]:
    """Translate what the client raises.

    Raises:
        CommandFailed: For all of it.
    """
    try:
        yield
    except InvalidSettings as exc:
        raise CommandFailed(str(exc), ExitCode.REQUEST, code="TLS_SETTINGS") from exc
    except CallFailed as exc:
        raise _failure(exc, server) from exc


def _failure(error: CallFailed, server: str) -> CommandFailed:
    message = error.message
    exit_code = exit_code_of(error.reason, error.code.name)
    if exit_code is ExitCode.TIMEOUT:
        message = "the search did not end within --timeout"
    elif exit_code is ExitCode.SERVER:
        message = f"search server {server}: {error.code.name}: {message}"
    violations = tuple((one.field, one.description) for one in error.violations)
    return CommandFailed(message, exit_code, code=error.code.name, violations=violations)

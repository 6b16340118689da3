"""One search against a server: follow it, and translate failures for a person."""

from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager

import grpc

from eacps.cli.exit_codes import ExitCode
from eacps.cli.outcome import CommandFailed
from eacps.cli.record import CompleteSearch, SearchRecord
from eacps.client import AsyncClient, CallFailed, ClientTls, InvalidSettings, Retries
from eacps.v1 import search_service_pb2 as pb

_REQUEST_CODES = {
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNAUTHENTICATED,
}
PATIENCE = Retries(attempts=4)
"""Someone sits before it: a server that is not there for some seconds is said not to be there."""

Watcher = Callable[[pb.SearchEvent, SearchRecord], None]


async def run_remote_search(
    server: str,
    request: pb.RunSearchRequest,
    watch: Watcher,
    *,
    tls: ClientTls | None = None,
    api_key: str | None = None,
    timeout_s: float | None = None,
) -> CompleteSearch:
    """Run a search to its end.

    Args:
        server: ``host:port`` of the search server.
        request: What to search for.
        watch: Shown every event, after the record has taken it in.
        tls: How to trust the server; None speaks in the clear.
        api_key: Sent with the call; None sends none.
        timeout_s: Deadline of the whole search; None for none.

    Raises:
        CommandFailed: The server cannot be reached, ended the call with an error, or had no time for one candidate.
    """
    record = SearchRecord()
    with calling(server):
        async with (
            AsyncClient(server, tls=tls, api_key=api_key, retries=PATIENCE) as client,
            aclosing(client.run(request, timeout_s=timeout_s)) as events,
        ):
            async for event in events:
                await fetch_result(client, event)
                record.add(event)
                watch(event, record)
    if record.finished is not None and not record.finished.best_candidate_id:
        raise _nothing_done(record.finished.stop_reason)
    return record.complete()


def _nothing_done(reason: pb.StopReason) -> CommandFailed:
    """Say what ended a search before its first candidate."""
    if reason == pb.STOP_REASON_WALL_TIME:
        allowed = "no candidate was done in the time allowed (--timeout, --max-seconds)"
        return CommandFailed(allowed, ExitCode.TIMEOUT, code=grpc.StatusCode.DEADLINE_EXCEEDED.name)
    bound = _BOUNDS.get(reason, pb.StopReason.Name(reason))
    return CommandFailed(f"{bound} does not suffice for one candidate", ExitCode.REQUEST, code="BUDGET_TOO_SMALL")


_BOUNDS = {
    pb.STOP_REASON_NFE: "--max-evaluations",
    pb.STOP_REASON_PICTURES: "--max-pictures",
    pb.STOP_REASON_VLM_CALLS: "--max-vlm-calls",
}


async def fetch_result(client: AsyncClient, event: pb.SearchEvent) -> None:
    """Put the bytes of the delivered picture into a search's last event, where they were too many to come in it."""
    if event.finished.HasField("delivered") and not event.finished.delivered.data:
        event.finished.delivered.data = await client.download(event.finished.delivered.artifact)


@contextmanager
def calling(server: str) -> Iterator[None]:
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
    if error.code in _REQUEST_CODES:
        exit_code = ExitCode.REQUEST
    elif error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        exit_code, message = ExitCode.TIMEOUT, "the search did not end within --timeout"
    else:
        exit_code, message = ExitCode.SERVER, f"search server {server}: {error.code.name}: {message}"
    violations = tuple((one.field, one.description) for one in error.violations)
    return CommandFailed(message, exit_code, code=error.code.name, violations=violations)

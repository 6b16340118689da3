"""One search against a server: send the request, follow the stream, translate failures for a person."""

from collections.abc import AsyncIterator, Callable

import grpc
import grpc.aio
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from eacps.cli.channel import ClientTls, open_channel
from eacps.cli.exit_codes import ExitCode
from eacps.cli.outcome import CommandFailed
from eacps.cli.record import CompleteSearch, SearchRecord
from eacps.v1 import search_service_pb2 as pb
from eacps.v1 import search_service_pb2_grpc as pb_grpc

_REQUEST_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNAUTHENTICATED,
}

Watcher = Callable[[pb.RunSearchResponse, SearchRecord], None]


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
    async with open_channel(server, tls) as channel:
        try:
            async for response in _events(channel, request, api_key, timeout_s):
                record.add(response)
                watch(response, record)
        except grpc.aio.AioRpcError as exc:
            raise _failure(exc, server) from exc
    if record.finished is not None and not record.finished.best_candidate_id:
        raise CommandFailed(
            "no candidate was done within --timeout", ExitCode.TIMEOUT, code=grpc.StatusCode.DEADLINE_EXCEEDED.name
        )
    return record.complete()


def _events(
    channel: grpc.aio.Channel, request: pb.RunSearchRequest, api_key: str | None, timeout_s: float | None
) -> AsyncIterator[pb.RunSearchResponse]:
    stub = pb_grpc.SearchServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
    metadata = None if api_key is None else (("authorization", f"Bearer {api_key}"),)
    responses: AsyncIterator[pb.RunSearchResponse] = stub.RunSearch(request, metadata=metadata, timeout=timeout_s)
    return responses


def _failure(error: grpc.aio.AioRpcError, server: str) -> CommandFailed:
    code, message = error.code(), error.details() or "no details"
    if code in _REQUEST_CODES:
        exit_code = ExitCode.REQUEST
    elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
        exit_code, message = ExitCode.TIMEOUT, "the search did not end within --timeout"
    else:
        exit_code, message = ExitCode.SERVER, f"search server {server}: {code.name}: {message}"
    return CommandFailed(message, exit_code, code=code.name, violations=_violations(error))


def _violations(error: grpc.aio.AioRpcError) -> tuple[tuple[str, str], ...]:
    # Typed for calls, but an error has all that is read: code, details, trailing metadata.
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    found: list[tuple[str, str]] = []
    for detail in status.details if status is not None else ():
        bad_request = error_details_pb2.BadRequest()
        if detail.Unpack(bad_request):
            found += [(violation.field, violation.description) for violation in bad_request.field_violations]
    return tuple(found)

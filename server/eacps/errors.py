"""The error tree: every error that EACPS raises on purpose.

    EacpsError
    |-- InvalidRequest              the caller's request is at fault; names every field
    |   `-- InvalidSearchSpec       ... in the search settings
    |-- Unauthenticated             the caller is unknown
    |-- InvalidPicture              bytes or array that are not an acceptable picture
    |-- DecoderUnavailable          a picture could not be decoded, for reasons outside the picture
    |-- NoFaceFound                 scene or character shows no (such) face
    |-- DeadlineExceeded            the caller's deadline passed
    |-- QuotaExceeded               a limit on what is done at once, or how often; says whose limit it is
    |   |-- TooManySearches         as many searches are unfinished as may be
    |   `-- TooManyCalls            as many calls are being answered as may be, or a tenant calls too often
    |-- SearchNotFound              the caller has no such search
    |-- CandidateNotFound           a search has no such candidate, or no picture of it
    |-- ArtifactNotFound            the caller has no such artifact
    |-- RequestIdTaken              another request has this request_id
    |-- SearchOver                  a search that was cancelled or deleted meanwhile; never reaches a caller
    |-- SearchCancelled             the search was cancelled by another call
    |-- CheckpointChanged           a search cannot go on: other weights are served than it began with
    |-- ServerStopping              the server stops; searches go on when it is back
    |-- StoreUnavailable            database or object store failed
    |   `-- StoreFull               ... for want of space
    |-- ServerRunsAlready           another server of this name uses the database
    |-- AddressUnavailable          an address to listen on is taken, or is not this machine's
    |-- EvaluationFailed            pictures were made, but not one could be scored
    |-- ScorerFailed                one scoring call failed for good; becomes a missing score
    |-- CallTimedOut                a model or scorer did not answer in its time
    |-- TritonError
    |   |-- TritonNotInstalled      the embedded server cannot run on this machine
    |   |-- TritonUnavailable       not reachable or not ready; worth a retry
    |   `-- TritonModelFailed       a model answered with an error
    `-- IllegalSearchMove           ask/tell out of order; a bug of ours

Each class says whose fault it is, the gRPC status code it maps to, a stable ``reason`` for machines, and whether the
same call may succeed later. This module knows nothing of gRPC itself: codes are named, `eacps.api` translates them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

RETRY_AFTER_S = 5.0
"""After how many seconds a call that may succeed later is worth another attempt, where nothing more is known."""


class Fault(StrEnum):
    """Who has to change something for the call to succeed."""

    CALLER = "caller"
    SERVER = "server"
    DEPENDENCY = "dependency"


@dataclass(frozen=True)
class FieldViolation:
    """One field at fault: its path in the request (``sampler.steps``) and what is wrong with it."""

    field: str
    description: str


class EacpsError(Exception):
    """Root of the tree. Class attributes describe the kind, the message describes the case."""

    fault: ClassVar[Fault] = Fault.SERVER
    grpc_code: ClassVar[str] = "INTERNAL"
    reason: ClassVar[str] = "INTERNAL"
    retryable: ClassVar[bool] = False
    retry_after_s: float = RETRY_AFTER_S

    @property
    def metadata(self) -> Mapping[str, str]:
        """Facts about the case for programs, by stable names."""
        return {}


class InvalidRequest(EacpsError):
    """The request is at fault.

    Args:
        violations: Every field at fault, not only the first. Not empty.
    """

    fault = Fault.CALLER
    grpc_code = "INVALID_ARGUMENT"
    reason = "INVALID_REQUEST"

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in self.violations))


class InvalidSearchSpec(InvalidRequest):
    """Search settings out of range or contradictory."""

    reason = "INVALID_SEARCH_SPEC"


class Unauthenticated(EacpsError):
    """The caller sent no API key, or an unknown one."""

    fault = Fault.CALLER
    grpc_code = "UNAUTHENTICATED"
    reason = "UNAUTHENTICATED"


class InvalidPicture(EacpsError):
    """Bytes that are not a picture, a format that is not accepted, or sizes out of range."""

    fault = Fault.CALLER
    grpc_code = "INVALID_ARGUMENT"
    reason = "INVALID_PICTURE"


class DecoderUnavailable(EacpsError):
    """The process that decodes a picture could not be started, or was ended by something else than the picture."""

    grpc_code = "UNAVAILABLE"
    reason = "DECODER_UNAVAILABLE"
    retryable = True


class NoFaceFound(EacpsError):
    """The face detector found no face, or not the one asked for.

    Args:
        picture: Which picture of the request: its field, such as ``scene`` or ``more_characters[0]``.
        found: Number of faces found in it.
        none: Why none of them is meant.
    """

    fault = Fault.CALLER
    grpc_code = "FAILED_PRECONDITION"
    reason = "NO_FACE_FOUND"

    def __init__(
        self, picture: str, found: int = 0, *, none: str = "not the one asked for (they count from 0)"
    ) -> None:
        self.picture, self.found = picture, found
        count = {0: "no face", 1: "1 face"}.get(found, f"{found} faces")
        super().__init__(f"{count} found in {picture}" + (f", {none}" if found else ""))

    @property
    def metadata(self) -> Mapping[str, str]:
        """The picture, and how many faces were found in it."""
        return {"picture": self.picture, "found": str(self.found)}


class DeadlineExceeded(EacpsError):
    """The caller's deadline passed before the work was done."""

    fault = Fault.CALLER
    grpc_code = "DEADLINE_EXCEEDED"
    reason = "DEADLINE_EXCEEDED"


class QuotaExceeded(EacpsError):
    """A limit on what is done at once, or how often, is reached. Later there is room again.

    Args:
        message: What is exceeded.
        limit: The limit; None if it is not a number.
        count: What is used of it, or was asked for; None if unknown.
        subject: Whose limit it is: ``tenant:NAME``, or ``server`` for one that all callers share.
        retry_after_s: When to try again, in seconds.
    """

    grpc_code = "RESOURCE_EXHAUSTED"
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        limit: float | None = None,
        count: float | None = None,
        subject: str = "server",
        retry_after_s: float = RETRY_AFTER_S,
    ) -> None:
        self.limit, self.count, self.subject, self.retry_after_s = limit, count, subject, retry_after_s
        super().__init__(message)

    @property
    def metadata(self) -> Mapping[str, str]:
        """Limit and count, as far as they are known."""
        known = {"limit": self.limit, "count": self.count}
        return {name: f"{value:.15g}" for name, value in known.items() if value is not None}


class TooManySearches(QuotaExceeded):
    """As many searches are unfinished as may be; one that ends makes room."""

    reason = "TOO_MANY_SEARCHES"


class TooManyCalls(QuotaExceeded):
    """The server answers as many calls at once as it may, or a tenant calls more often than it may."""

    reason = "TOO_MANY_CALLS"


class SearchNotFound(EacpsError):
    """The caller has no such search. The error does not reveal whether another caller has it."""

    fault = Fault.CALLER
    grpc_code = "NOT_FOUND"
    reason = "SEARCH_NOT_FOUND"


class CandidateNotFound(EacpsError):
    """The search has made no such candidate so far, or has no picture of it."""

    fault = Fault.CALLER
    grpc_code = "NOT_FOUND"
    reason = "CANDIDATE_NOT_FOUND"


class ArtifactNotFound(EacpsError):
    """The caller has no such artifact. The error does not reveal whether another caller has it."""

    fault = Fault.CALLER
    grpc_code = "NOT_FOUND"
    reason = "ARTIFACT_NOT_FOUND"


class RequestIdTaken(EacpsError):
    """The ``request_id`` names a search that another request created."""

    fault = Fault.CALLER
    grpc_code = "ALREADY_EXISTS"
    reason = "REQUEST_ID_TAKEN"


class SearchOver(EacpsError):
    """A search tried to record progress after it had ended or was deleted."""

    reason = "SEARCH_OVER"


class SearchCancelled(EacpsError):
    """The search was cancelled by another call than the one that waits for it."""

    fault = Fault.CALLER
    grpc_code = "CANCELLED"
    reason = "SEARCH_CANCELLED"


class CheckpointChanged(EacpsError):
    """Other weights are served than those that a search was begun with: half of its pictures would be of each."""

    grpc_code = "FAILED_PRECONDITION"
    reason = "CHECKPOINT_CHANGED"


class ServerStopping(EacpsError):
    """The server stops. Searches are kept and go on when it is back."""

    grpc_code = "UNAVAILABLE"
    reason = "SERVER_STOPPING"
    retryable = True


class StoreUnavailable(EacpsError):
    """The database or the object store failed."""

    fault = Fault.DEPENDENCY
    grpc_code = "UNAVAILABLE"
    reason = "STORE_UNAVAILABLE"
    retryable = True


class StoreFull(StoreUnavailable):
    """The disk of the database or of the object store is full. Searches wait until there is space."""

    reason = "STORE_FULL"


class ServerRunsAlready(EacpsError):
    """Another server of this name uses the database: both would run the same searches."""

    fault = Fault.CALLER
    grpc_code = "FAILED_PRECONDITION"
    reason = "SERVER_RUNS_ALREADY"


class AddressUnavailable(EacpsError):
    """The server cannot listen on an address: it is taken, not this machine's, or needs rights that it lacks."""

    fault = Fault.CALLER
    grpc_code = "FAILED_PRECONDITION"
    reason = "ADDRESS_UNAVAILABLE"


class EvaluationFailed(EacpsError):
    """Pictures were made in the first round, but not one could be scored."""

    fault = Fault.DEPENDENCY
    grpc_code = "UNAVAILABLE"
    reason = "EVALUATION_FAILED"
    retryable = True


class ScorerFailed(EacpsError):
    """One scoring call failed after its retries. The search reports the score as missing and continues."""

    fault = Fault.DEPENDENCY
    grpc_code = "UNAVAILABLE"
    reason = "SCORER_FAILED"


class CallTimedOut(EacpsError):
    """A model or a scorer did not answer in the time that one call may take, though it may be there."""

    fault = Fault.DEPENDENCY
    grpc_code = "UNAVAILABLE"
    reason = "CALL_TIMED_OUT"
    retryable = True


class TritonError(EacpsError):
    """Anything that goes wrong between us and Triton."""

    fault = Fault.DEPENDENCY


class TritonNotInstalled(TritonError):
    """The embedded Triton cannot run here; the message lists what is missing and how to fix it."""

    grpc_code = "FAILED_PRECONDITION"
    reason = "TRITON_NOT_INSTALLED"


class TritonUnavailable(TritonError):
    """Triton is not reachable, not ready, or died."""

    grpc_code = "UNAVAILABLE"
    reason = "TRITON_UNAVAILABLE"
    retryable = True


class TritonModelFailed(TritonError):
    """A model in Triton answered with an error, or with tensors that break the contract."""

    grpc_code = "INTERNAL"
    reason = "TRITON_MODEL_FAILED"


class IllegalSearchMove(EacpsError):
    """``ask`` or ``tell`` out of order, or scores for candidates that were not asked about."""

    reason = "ILLEGAL_SEARCH_MOVE"


def fault_of(reason: str) -> Fault | None:
    """Return whose fault errors of a reason are; None for a reason that is not of this tree."""
    kinds: list[type[EacpsError]] = [EacpsError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return next((kind.fault for kind in kinds if kind.reason == reason), None)


@contextmanager
def ungrouped() -> Iterator[None]:
    """Raise the first error of a task group, which cancelled all others, in its place: with its own cause."""
    try:
        yield
    except ExceptionGroup as group:
        error: Exception = group
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        raise error from error.__cause__

"""The error tree: every error that EACPS raises on purpose.

    EacpsError
    |-- InvalidRequest              the caller's request is at fault; names every field
    |   `-- InvalidSearchSpec       ... in the search settings
    |-- Unauthenticated             nobody knows the caller
    |-- InvalidPicture              bytes or array that are not an acceptable picture
    |-- NoFaceFound                 scene or character shows no (such) face
    |-- DeadlineExceeded            the caller's deadline passed
    |-- TooManySearches             as many searches are unfinished as may be
    |-- TooManyCalls                as many other calls are being answered as may be, or a tenant calls too often
    |-- SearchNotFound              the caller has no such search
    |-- ArtifactNotFound            the caller has no such artifact
    |-- RequestIdTaken              another request has this request_id
    |-- SearchOver                  a search that was cancelled or deleted meanwhile; never reaches a caller
    |-- SearchCancelled             the search was cancelled by another call
    |-- CheckpointChanged           a search cannot go on: other weights are served than it began with
    |-- ServerStopping              the server stops; searches go on when it is back
    |-- StoreUnavailable            database or object store failed
    |-- ServerRunsAlready           another server of this name uses the database
    |-- EvaluationFailed            pictures were made, but not one could be scored
    |-- ScorerFailed                one scoring call failed for good; becomes a missing score
    |-- TritonError
    |   |-- TritonNotInstalled      the embedded server cannot run on this machine
    |   |-- TritonUnavailable       not reachable or not ready; worth a retry
    |   `-- TritonModelFailed       a model answered with an error
    `-- IllegalSearchMove           ask/tell out of order; a bug of ours

Each leaf says whose fault it is, the gRPC status code it maps to, a stable ``reason`` for machines, and whether the
same call may succeed later. This module knows nothing of gRPC itself: codes are named, `eacps.api` translates them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


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
    """The caller showed no key, or one that is nobody's."""

    fault = Fault.CALLER
    grpc_code = "UNAUTHENTICATED"
    reason = "UNAUTHENTICATED"


class InvalidPicture(EacpsError):
    """Bytes that are not a picture, a format that is not accepted, or sizes out of range."""

    fault = Fault.CALLER
    grpc_code = "INVALID_ARGUMENT"
    reason = "INVALID_PICTURE"


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
        what = "no face" if found == 0 else f"only {found} face(s), {none},"
        super().__init__(f"{what} found in {picture}")


class DeadlineExceeded(EacpsError):
    """The caller's deadline passed before the work was done."""

    fault = Fault.CALLER
    grpc_code = "DEADLINE_EXCEEDED"
    reason = "DEADLINE_EXCEEDED"


class TooManySearches(EacpsError):
    """As many searches are unfinished as may be; one that ends makes room."""

    fault = Fault.SERVER
    grpc_code = "RESOURCE_EXHAUSTED"
    reason = "TOO_MANY_SEARCHES"
    retryable = True


class TooManyCalls(EacpsError):
    """The server answers as many calls at once, searches aside, as it may; or a tenant calls more often than it may."""

    grpc_code = "RESOURCE_EXHAUSTED"
    reason = "TOO_MANY_CALLS"
    retryable = True


class SearchNotFound(EacpsError):
    """The caller has no such search. It is not said whether another one has."""

    fault = Fault.CALLER
    grpc_code = "NOT_FOUND"
    reason = "SEARCH_NOT_FOUND"


class ArtifactNotFound(EacpsError):
    """The caller has no such artifact. It is not said whether another one has."""

    fault = Fault.CALLER
    grpc_code = "NOT_FOUND"
    reason = "ARTIFACT_NOT_FOUND"


class RequestIdTaken(EacpsError):
    """The ``request_id`` names a search that another request created."""

    fault = Fault.CALLER
    grpc_code = "ALREADY_EXISTS"
    reason = "REQUEST_ID_TAKEN"


class SearchOver(EacpsError):
    """What a search would still record of itself after it was cancelled or deleted."""

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


class ServerRunsAlready(EacpsError):
    """Another server of this name uses the database: both would run the same searches."""

    fault = Fault.CALLER
    grpc_code = "FAILED_PRECONDITION"
    reason = "SERVER_RUNS_ALREADY"


class EvaluationFailed(EacpsError):
    """Pictures were made in the first round, but not one could be scored."""

    fault = Fault.DEPENDENCY
    grpc_code = "UNAVAILABLE"
    reason = "EVALUATION_FAILED"
    retryable = True


class ScorerFailed(EacpsError):
    """One scoring call failed after its retries. The search reports the score as missing and goes on."""

    fault = Fault.DEPENDENCY
    grpc_code = "UNAVAILABLE"
    reason = "SCORER_FAILED"


class TritonError(EacpsError):
    """Anything that goes wrong between us and Triton."""

    fault = Fault.DEPENDENCY


class TritonNotInstalled(TritonError):
    """The embedded Triton cannot run here; the message lists what is missing and what mends it."""

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

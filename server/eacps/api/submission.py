"""From a checked request to a search to be: what is kept of it, and what makes two requests the same."""

import hashlib
import time

from eacps.api.faults import Faults
from eacps.durable import Submission
from eacps.evaluation import SearchPlan
from eacps.v1 import search_service_pb2 as pb

DEFAULT_PRIORITY, MAX_PRIORITY = 100, 1000
MAX_LABELS, MAX_LABEL_KEY, MAX_LABEL_VALUE, MAX_REQUEST_ID = 16, 63, 255, 128


def check_envelope(faults: Faults, request: pb.RunSearchRequest) -> None:
    """Check what a request says beside what is searched for."""
    if not all("!" <= letter <= "~" for letter in request.request_id) or len(request.request_id) > MAX_REQUEST_ID:
        faults.add("request_id", f"is not 1 to {MAX_REQUEST_ID} visible ASCII characters")
    check_labels(faults, request.labels)
    faults.count(request, "priority", 1, MAX_PRIORITY, default=DEFAULT_PRIORITY)


def check_labels(faults: Faults, labels: object) -> None:
    """Check labels, those of a search or those that searches are looked for by."""
    pairs = dict(labels)  # type: ignore[call-overload]  # protobuf's maps have no common type
    if len(pairs) > MAX_LABELS:
        faults.add("labels", f"are {len(pairs)}, more than {MAX_LABELS}")
    for key, value in list(pairs.items())[:MAX_LABELS]:
        if not 1 <= len(key) <= MAX_LABEL_KEY or len(value) > MAX_LABEL_VALUE or "\0" in key + value:
            faults.add(
                "labels",
                f"{key[:MAX_LABEL_KEY]!r}: keys have 1 to {MAX_LABEL_KEY} characters, "
                f"values up to {MAX_LABEL_VALUE}, none of them NUL",
            )


def submission_of(
    request: pb.RunSearchRequest, plan: SearchPlan, *, tenant: str, inputs: frozenset[str], time_left_s: float | None
) -> Submission:
    """Give the search to be.

    Args:
        request: Checked; its pictures by name.
        plan: What it asks for, after all defaults.
        tenant: Whose.
        inputs: Digests of its pictures.
        time_left_s: Seconds until the call's deadline, where that bounds the search.
    """
    return Submission(
        id=plan.search_id,
        tenant=tenant,
        request=_determined(request, plan).SerializeToString(deterministic=True),
        fingerprint=_fingerprint(request),
        inputs=inputs,
        request_id=request.request_id or None,
        labels=dict(request.labels),
        priority=request.priority if request.HasField("priority") else DEFAULT_PRIORITY,
        expires_s=None if time_left_s is None else time.time() + time_left_s,
    )


def _fingerprint(request: pb.RunSearchRequest) -> str:
    """Digest of what was asked for; whether the caller stays to watch does not count."""
    asked = pb.RunSearchRequest()
    asked.CopyFrom(request)
    asked.ClearField("detach")
    return hashlib.sha256(asked.SerializeToString(deterministic=True)).hexdigest()


def _determined(request: pb.RunSearchRequest, plan: SearchPlan) -> pb.RunSearchRequest:
    """The request with what the server chose, so that it is the same search on another one, or after a restart."""
    full = pb.RunSearchRequest()
    full.CopyFrom(request)
    full.search.random_seed = plan.spec.seed
    if not full.scorers:
        weights = plan.objective.weights.raw
        full.scorers.extend(
            pb.ScorerSettings(name=name, weight=weights.get(name, 0.0), held_out=name in plan.objective.held_out)
            for name in plan.scorers
        )
    return full

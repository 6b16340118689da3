"""Converts a checked request to the submission of a search."""

import hashlib

from eacps.api.normal_form import normal_form
from eacps.api.priors import settings_of
from eacps.api.violations import Violations
from eacps.durable import Submission
from eacps.evaluation import SearchSettings
from eacps.limits import (
    MAX_LABEL_KEY_CHARACTERS,
    MAX_LABEL_VALUE_CHARACTERS,
    MAX_LABELS,
    MAX_REQUEST_ID_CHARACTERS,
)
from eacps.v1 import search_service_pb2 as pb


def check_envelope(violations: Violations, request: pb.RunSearchRequest) -> None:
    """Check the fields of a request that are not about the search itself."""
    name = request.request_id
    if len(name) > MAX_REQUEST_ID_CHARACTERS or not all("!" <= letter <= "~" for letter in name):
        violations.add("request_id", f"is not 1 to {MAX_REQUEST_ID_CHARACTERS} visible ASCII characters")
    check_labels(violations, request.labels)
    violations.integer(request, "priority")


def check_labels(violations: Violations, labels: object) -> None:
    """Check labels: of a search, or of a list's filter."""
    pairs = dict(labels)  # type: ignore[call-overload]  # protobuf's maps have no common type
    if len(pairs) > MAX_LABELS:
        violations.add("labels", f"are {len(pairs)}, more than {MAX_LABELS}")
    for key, value in list(pairs.items())[:MAX_LABELS]:
        fits = 1 <= len(key) <= MAX_LABEL_KEY_CHARACTERS and len(value) <= MAX_LABEL_VALUE_CHARACTERS
        if not fits or "\0" in key + value:
            violations.add(
                "labels",
                f"{key[:MAX_LABEL_KEY_CHARACTERS]!r}: keys have 1 to {MAX_LABEL_KEY_CHARACTERS} characters, "
                f"values up to {MAX_LABEL_VALUE_CHARACTERS}, none of them NUL",
            )


def submission_of(
    request: pb.RunSearchRequest,
    settings: SearchSettings,
    search: pb.SearchSettings,
    *,
    tenant: str,
    inputs: frozenset[str],
    expires_s: float | None,
    attached: bool,
) -> Submission:
    """Return the submission.

    Args:
        request: The request, checked, with its pictures by hash.
        settings: Its settings, with all defaults.
        search: Its search settings, with what the server knows of start points and seeds to avoid.
        tenant: Owner of the search.
        inputs: Digests of the pictures.
        expires_s: Deadline of the search, in seconds since the epoch; None for none.
        attached: Whether the search ends with the call.
    """
    return Submission(
        id=settings.search_id,
        tenant=tenant,
        request=_determined(request, settings, search).SerializeToString(deterministic=True),
        fingerprint=hashlib.sha256(normal_form(request).SerializeToString(deterministic=True)).hexdigest(),
        inputs=inputs,
        request_id=request.request_id or None,
        labels=dict(request.labels),
        priority=Violations().integer(request, "priority"),
        expires_s=expires_s,
        attached=attached,
    )


def _determined(
    request: pb.RunSearchRequest, settings: SearchSettings, search: pb.SearchSettings
) -> pb.RunSearchRequest:
    """Return the request with the choices of the server, so that any server continues the same search."""
    full = pb.RunSearchRequest()
    full.CopyFrom(request)
    full.search.CopyFrom(search)
    full.search.random_seed = settings.spec.seed
    if not full.HasField("prior"):
        full.prior.CopyFrom(settings_of(settings.prior))
    del full.scorers[:]
    full.scorers.extend(_scorer(name, settings) for name in settings.scorers)
    return full


def _scorer(name: str, settings: SearchSettings) -> pb.ScorerSettings:
    objective, question = settings.objective, settings.questions.get(name)
    return pb.ScorerSettings(
        name=name,
        weight=objective.weights.raw.get(name, 0.0),
        floor=objective.floors.get(name),
        held_out=name in objective.held_out,
        question=None if question is None else question.template,
    )

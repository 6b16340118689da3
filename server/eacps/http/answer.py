"""The response to an edit in OpenAI's form: whole, or as server-sent events."""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict

from eacps.http.fields import DEFAULT_QUALITY, EditFields
from eacps.http.searching import Partial, Searched

NO_USAGE = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "total_tokens": 0,
}
"""Nothing is counted in tokens; OpenAI's form wants the numbers all the same."""


def whole_answer(fields: EditFields, searched: Searched, created: int) -> dict[str, Any]:
    """Return the body of a response, pictures best first."""
    return {
        "created": created,
        "data": [{"b64_json": _base64(fields, one.picture), "eacps": one.candidate.to_json()} for one in searched.best],
        **_common(fields),
        "usage": NO_USAGE,
        "eacps": facts_of(searched),
    }


def partial_event(fields: EditFields, partial: Partial, created: int) -> bytes:
    """Return the event of a picture on the way."""
    body = {"b64_json": _base64(fields, partial.picture), "partial_image_index": partial.index}
    return _event("image_edit.partial_image", {**body, **_event_common(fields, created)})


def completed_events(fields: EditFields, searched: Searched, created: int) -> Iterator[bytes]:
    """Yield one event for each of the best pictures, best first."""
    facts = facts_of(searched)
    for one in searched.best:
        body = {"b64_json": _base64(fields, one.picture), **_event_common(fields, created), "usage": NO_USAGE}
        yield _event("image_edit.completed", body | {"eacps": facts | {"candidate": one.candidate.to_json()}})


def error_event(body: Mapping[str, Any]) -> bytes:
    """Return the event of an error after the response has begun."""
    return _event("error", body)


def facts_of(searched: Searched) -> dict[str, Any]:
    """Return what the extension says of a search."""
    started, finished = searched.started, searched.finished
    whole: dict[str, Any] = MessageToDict(finished, preserving_proto_field_name=True)
    kept = ("statistics", "stop_reason", "spent", "gains", "versions", "timings")
    return {
        "search_id": started.search_id,
        "checkpoint": started.checkpoint,
        "random_seed": started.random_seed,
        "best_candidate_id": finished.best_candidate_id,
        "notes": list(started.notes),
        **{name: whole[name] for name in kept if name in whole},
    }


def _base64(fields: EditFields, picture: bytes) -> str:
    return base64.b64encode(fields.output.encode(picture)).decode("ascii")


def _common(fields: EditFields) -> dict[str, Any]:
    common: dict[str, Any] = {
        "output_format": fields.output.format,
        "quality": fields.quality or DEFAULT_QUALITY,
        "size": f"{fields.size[0]}x{fields.size[1]}",
    }
    return common | ({"safety_identifier": fields.user} if fields.user else {})


def _event_common(fields: EditFields, created: int) -> dict[str, Any]:
    return {"created_at": created, "background": "auto", **_common(fields)}


def _event(kind: str, body: Mapping[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **body})}\n\n".encode()

"""Messages of the API as JSON, in their own form: the page reads and writes what every other client does."""

import json
from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message
from starlette.responses import Response

from eacps.studio.failures import RequestRefused

M = TypeVar("M", bound=Message)


def json_text(message: Message) -> str:
    """Return a message as JSON on one line, with the names of its fields as the API spells them."""
    text: str = json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None)
    return text


def message_response(message: Message) -> Response:
    """Return a message as a response."""
    return Response(json_text(message), media_type="application/json")


def message_of(data: bytes, kind: type[M]) -> M:
    """Read a message.

    Raises:
        RequestRefused: The bytes are no JSON, or JSON of something else.
    """
    try:
        return json_format.ParseDict(json.loads(data), kind())
    except (ValueError, json_format.ParseError) as exc:
        raise RequestRefused(400, "UNREADABLE", f"the request is no {kind.DESCRIPTOR.name}: {exc}") from exc

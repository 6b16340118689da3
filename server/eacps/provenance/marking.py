"""Marks delivered files as the operator wants it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from eacps.provenance.credentials import Credentials
from eacps.provenance.record import packet_of

_OF_PEOPLE = ("prompt", "negative_prompt", "scores", "raw_scores")


class RecordMode(StrEnum):
    """What the record inside a file holds.

    FULL: All that makes the picture again: search and candidate, recipe, settings, versions, prompt and scores.
    ANONYMOUS: The same without prompt and scores, which speak of a person.
    NONE: Nothing; the file only says that a model made a part of the picture.
    """

    FULL = "full"
    ANONYMOUS = "anonymous"
    NONE = "none"


class Marking:
    """Marks files: by an XMP packet always, by content credentials where somebody signs.

    Args:
        credentials: Sign; None: nobody does.
        mode: What the record holds.
    """

    def __init__(self, credentials: Credentials | None, mode: RecordMode = RecordMode.FULL) -> None:
        self._credentials, self._mode = credentials, mode

    def packet(self, record: Mapping[str, Any]) -> str:
        """Return the XMP packet for a file."""
        match self._mode:
            case RecordMode.FULL:
                return packet_of(record)
            case RecordMode.ANONYMOUS:
                return packet_of({name: value for name, value in record.items() if name not in _OF_PEOPLE})
            case RecordMode.NONE:
                return packet_of(None)

    def sealed(self, data: bytes, scene: bytes) -> bytes:
        """Return a file with content credentials; see `Credentials.sealed`."""
        return data if self._credentials is None else self._credentials.sealed(data, scene)

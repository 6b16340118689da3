"""One shot of a batch: a name and a request, and what makes two shots the same."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from eacps.v1 import search_service_pb2 as pb
from eacps.wire import images_in

_ENVELOPE = ("request_id", "labels", "priority", "detach")
_KEY_CHARACTERS = 32


@dataclass(frozen=True)
class Shot:
    """What to search for, by a name of its own within the batch.

    Args:
        name: For files, tables and the label ``shot``.
        request: With the bytes of its pictures, or with their hashes where the server has them, or ``files`` does.
        files: Pictures by hash that are read when they are uploaded: those of many shots may be more than memory holds.
    """

    name: str
    request: pb.RunSearchRequest
    files: Mapping[str, Path] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """Digest of the name and of what determines the result, which labels and priority do not."""
        asked = named_by_content(self.request)
        for name in _ENVELOPE:
            asked.ClearField(name)
        digest = hashlib.sha256(self.name.encode() + b"\0" + asked.SerializeToString(deterministic=True))
        return digest.hexdigest()[:_KEY_CHARACTERS]


def named_by_content(request: pb.RunSearchRequest) -> pb.RunSearchRequest:
    """Return a copy of a request whose pictures are given by their SHA-256 alone."""
    bare = pb.RunSearchRequest()
    bare.CopyFrom(request)
    for _, image in images_in(bare):
        if image.data:
            image.CopyFrom(pb.Image(artifact=hashlib.sha256(image.data).hexdigest()))
    return bare


def request_id_of(shot: Shot, request: pb.RunSearchRequest, attempt: int) -> str:
    """Return the name under which a shot is asked for: the same for the same content, labels and priority.

    Args:
        shot: Of the batch.
        request: As it is sent.
        attempt: From 1; a further one is another search, for a shot whose search failed or was cancelled.
    """
    envelope = pb.RunSearchRequest(labels=request.labels, priority=request.priority)
    digest = hashlib.sha256(envelope.SerializeToString(deterministic=True)).hexdigest()[:8]
    return f"{shot.key}.{digest}.{attempt}"

"""What servers and clients both need to know about the messages of the API: where their pictures are.

It does not know what the pictures are for.
"""

import hashlib
from collections.abc import Iterable

from google.protobuf.message import Message

from eacps.v1 import search_service_pb2 as pb

LIVE = "eacps.live"
"""What health is asked about to learn whether the process answers at all, whatever Triton does."""
CHUNK_BYTES = 2**20
"""Of a picture that is uploaded or downloaded, in one message."""


def images_in(message: Message) -> list[tuple[str, pb.Image]]:
    """Return the pictures of a message with the paths of their fields, such as ``scene_face.likeness``.

    Pictures inside repeated messages are left out: no request has any.
    """
    found: list[tuple[str, pb.Image]] = []
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        is_image = descriptor.message_type is pb.Image.DESCRIPTOR
        if descriptor.is_repeated:
            found += [(f"{descriptor.name}[{index}]", image) for index, image in enumerate(value) if is_image]
        elif is_image:
            found.append((descriptor.name, value))
        else:
            found += [(f"{descriptor.name}.{path}", image) for path, image in images_in(value)]
    return found


def pictures_of(event: pb.SearchEvent) -> list[pb.Image]:
    """Return the pictures of an event that can be in it by their bytes, the most important one first."""
    match event.WhichOneof("event"):
        case "prior_ready":
            return [event.prior_ready.prior, event.prior_ready.scene]
        case "finished":
            return [event.finished.delivered, event.finished.best]
        case _:
            return []


def artifact_of(image: pb.Image) -> str:
    """Return the hash of a picture, however it is given; empty if there is none."""
    return hashlib.sha256(image.data).hexdigest() if image.data else image.artifact


def copy_fields(source: Message, target: Message, names: Iterable[str]) -> None:
    """Copy the fields with these names that are set. Both messages must have the same fields under these names."""
    for descriptor, value in source.ListFields():
        if descriptor.name not in names:
            continue
        if descriptor.is_repeated:
            getattr(target, descriptor.name).extend(value)
        elif descriptor.message_type is not None:
            getattr(target, descriptor.name).CopyFrom(value)
        else:
            setattr(target, descriptor.name, value)

"""What servers and clients both need to know of the API's messages: where their pictures are.

It knows nothing of what the pictures are for.
"""

from collections.abc import Iterable

from google.protobuf.message import Message

from eacps.v1 import search_service_pb2 as pb


def images_in(message: Message) -> list[tuple[str, pb.Image]]:
    """Give the pictures of a message with the paths of their fields, such as ``scene_face_by.likeness``.

    Those of repeated messages that are no pictures themselves are left out: no request has any.
    """
    found: list[tuple[str, pb.Image]] = []
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        is_image = descriptor.message_type is pb.Image.DESCRIPTOR
        if descriptor.is_repeated:
            found += [(f"{descriptor.name}[{place}]", image) for place, image in enumerate(value) if is_image]
        elif is_image:
            found.append((descriptor.name, value))
        else:
            found += [(f"{descriptor.name}.{path}", image) for path, image in images_in(value)]
    return found


def copy_fields(source: Message, target: Message, names: Iterable[str]) -> None:
    """Copy the fields of these names that are set; both messages name them alike and mean the same by them."""
    for descriptor, value in source.ListFields():
        if descriptor.name not in names:
            continue
        if descriptor.is_repeated:
            getattr(target, descriptor.name).extend(value)
        elif descriptor.message_type is not None:
            getattr(target, descriptor.name).CopyFrom(value)
        else:
            setattr(target, descriptor.name, value)

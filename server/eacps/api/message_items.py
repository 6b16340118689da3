"""Bounds the number of items in a request, before it is parsed.

A message of 12 MiB can hold six million empty submessages. Parsed, they take a gigabyte, and every loop over them
blocks the event loop for seconds. So they are counted in the encoded message, up to the limit.
"""

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from eacps.errors import FieldViolation, InvalidRequest

MAX_ITEMS = 100_000
"""Most fields with a value in one request, those of its submessages and all values of repeated fields included. The
largest that GetSearch returns to be sent again, 16 start points of 65 known candidates with 16 scores each and 4,096
seeds to avoid, has about 77,000."""
_MAX_DEPTH = 100  # of messages in messages, as protobuf's parsers accept
_MAX_VARINT_BYTES = 10


class _Malformed(Exception):
    """The bytes are no message, which its parser will say."""


def check_items(data: bytes, descriptor: Descriptor | None) -> None:
    """Check that an encoded request has at most `MAX_ITEMS` items.

    Args:
        data: The encoded request; if it is no message, the check passes, since its parser refuses it.
        descriptor: Type of the message; None counts its own fields only.

    Raises:
        InvalidRequest: It has more items.
    """
    try:
        count = _count(data, descriptor)
    except (_Malformed, IndexError):
        return
    if count > MAX_ITEMS:
        raise InvalidRequest([FieldViolation("request", f"has more than {MAX_ITEMS} fields and list items")])


def _count(data: bytes, descriptor: Descriptor | None) -> int:
    """Count items, up to the limit."""
    count, position, open_messages = 0, 0, [(len(data), descriptor)]
    while open_messages and count <= MAX_ITEMS:
        end, kind = open_messages[-1]
        if position >= end:
            open_messages.pop()
            continue
        count += 1
        key, position = _varint(data, position)
        match key & 7:
            case 0:
                _, position = _varint(data, position)
            case 1:
                position += 8
            case 2:
                size, position = _varint(data, position)
                if size > end - position:
                    raise _Malformed
                field = None if kind is None else kind.fields_by_number.get(key >> 3)
                if field is not None and field.message_type is not None:
                    open_messages.append((position + size, field.message_type))
                else:
                    count += size if field is not None and _is_packed(field) else 0  # of at least a byte each
                    position += size
            case 5:
                position += 4
            case 3:  # an unknown group: ours have none
                open_messages.append((end, None))
            case 4:
                open_messages.pop()
            case _:
                raise _Malformed
        if len(open_messages) > _MAX_DEPTH:
            raise _Malformed
    return count


def _is_packed(field: FieldDescriptor) -> bool:
    return field.is_repeated and field.type not in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the number at a position, and the position after it."""
    if data[position] < 0x80:
        return data[position], position + 1
    number = 0
    for index in range(_MAX_VARINT_BYTES):
        byte = data[position + index]
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, position + index + 1
    raise _Malformed

"""Protocol buffers' wire format, as far as messages are looked at before they are decoded, or joined of parts."""

from collections.abc import Iterator
from typing import Any, NamedTuple

_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT_BYTES = 10
_UINT64 = (1 << 64) - 1
# The bytes of a varint but for its last one.
_CONTINUED = bytes(range(0x80, 0x100))


class Field(NamedTuple):
    """A field as it stands in a message.

    Attributes:
        number: which field it is.
        is_nested: whether it is text, bytes, a message or packed numbers, from `start` to `end`.
        start, end: of its content in the message.
    """

    number: int
    is_nested: bool
    start: int
    end: int


def fields(message: bytes, start: int = 0, end: int | None = None) -> Iterator[Field]:
    """The fields between `start` and `end`, up to where the message is malformed."""
    end = len(message) if end is None else end
    while start < end:
        tag, start = read_varint(message, start)
        wire_type = tag & 7
        is_nested = wire_type == _LENGTH_DELIMITED
        if is_nested:
            size, start = read_varint(message, start)
            stop = start + size
        elif wire_type == _VARINT:
            stop = read_varint(message, start)[1]
        else:
            # The marks of a group have no content.
            stop = start + _FIXED_BYTES.get(wire_type, 0)
        if stop > end:
            return
        yield Field(tag >> 3, is_nested, start, stop)
        start = stop


def read_varint(message: bytes, start: int) -> tuple[int, int]:
    """A number that is written seven bits a byte, the lowest first, and where it ends; past the message if it does not.

    Of a number that has more, the lowest 64 bits.
    """
    if start < len(message) and message[start] < 0x80:
        return message[start], start + 1
    number = shift = 0
    for place, byte in enumerate(message[start : start + _LONGEST_VARINT_BYTES], start + 1):
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & _UINT64, place
        shift += 7
    return 0, len(message) + 1


def varint(number: int) -> bytes:
    """A number as protobuf writes lengths: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def nested_tag(number: int) -> bytes:
    """What a field of text, bytes, a message or packed numbers begins with; its length comes next."""
    return varint(number << 3 | _LENGTH_DELIMITED)


def count_parts(kind: Any, message: bytes, most: int, start: int = 0, end: int | None = None) -> int:
    """How many fields a message has, with those of the messages in it and the elements of packed numbers.

    Args:
        kind: the descriptor of the message, whose packed numbers are varints.
        message: encoded.
        most: when there are more, counting ends.
        start: where it begins in `message`.
        end: where it ends there; None for the end of that.
    """
    count = 0
    known = kind.fields_by_number
    for field in fields(message, start, end):
        count += 1
        if field.is_nested and field.start < field.end:
            described = known.get(field.number)
            if described is not None and described.message_type is not None:
                count += count_parts(described.message_type, message, most - count, field.start, field.end)
            elif described is not None and described.is_packed:
                count += len(message[field.start : field.end].translate(None, _CONTINUED))
        if count > most:
            break
    return count

"""Bytes and messages that are nearly what they should be, or not at all, by chance."""

import struct
from collections.abc import Callable
from random import Random
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

NAMES = ("doubles", "integers", "bytes", "strings", "learner", "added", "unknown")
_TEXTS = (*NAMES, "", "1", "2", "ada", "single", "exp3", "a:1", "é", "\0", "a\r\nb", "../..", "127.0.0.1:1", "x" * 300)
_WHOLE = (0, 1, -1, 2, 63, 255, 1 << 31, (1 << 31) - 1, -(1 << 31), (1 << 53) + 1, (1 << 63) - 1, -(1 << 63))
_BROKEN = (0.0, -0.0, 1.0, 0.5, -1e308, float("inf"), float("nan"), 5e-324)
_TOKENS = (
    *(b"\0", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\r\n", b"\r\n\r\n", b"%00", b"%2e%2e/", b" ", b"\t", b":", b";"),
    *(b"null", b"true", b"-0", b"1e999", b"NaN", b"9" * 400, b"0.1e-", b'"', b"\\", b"\\ud800", b"\\u0000"),
    *(b"[", b"]", b"{", b"}", b",", b"[" * 600, b'{"input":', b'"input_batch":', b"chunked", b"18446744073709551616"),
    *(b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", b"\x0b", b"\x0f", b"\x12\xff\xff\xff\xff\x07", b"\x80" * 12),
)
_MOST_PARTS = 3
_DEEPEST = 3


def mutated(random: Random, data: bytes) -> bytes:
    """What is left of some bytes after a few accidents."""
    for _ in range(random.randint(1, _MOST_PARTS)):
        data = random.choice(_ACCIDENTS)(random, data)
    return data


def message(random: Random, kind: Descriptor, depth: int = 0) -> Message:
    """A message of a kind, some of whose fields are set."""
    made: Message = message_factory.GetMessageClass(kind)()
    for field in kind.fields:
        if random.random() < 0.6 and depth < _DEEPEST:
            _set(random, made, field, depth)
    return made


def _set(random: Random, made: Message, field: FieldDescriptor, depth: int) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        _set_entry(random, getattr(made, field.name), field.message_type.fields_by_name["value"], depth)
    elif field.message_type is not None:
        values = [message(random, field.message_type, depth + 1) for _ in range(_count(random, field))]
        target = getattr(made, field.name)
        for value in values:
            (target.add() if field.is_repeated else target).CopyFrom(value)
    elif field.is_repeated:
        getattr(made, field.name).extend(_value(random, field) for _ in range(_count(random, field)))
    else:
        setattr(made, field.name, _value(random, field))


def _set_entry(random: Random, entries: Any, value: FieldDescriptor, depth: int) -> None:
    key = random.choice(("eta", ""))
    if value.message_type is None:
        entries[key] = _value(random, value)
    else:
        entries[key].CopyFrom(message(random, value.message_type, depth + 1))


def _count(random: Random, field: FieldDescriptor) -> int:
    return random.choice((0, 1, 1, 2, 5, 70)) if field.is_repeated else 1


def _value(random: Random, field: FieldDescriptor) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return random.randbytes(random.choice((0, 1, 8, 16, 64)))
        case FieldDescriptor.CPPTYPE_STRING:
            return random.choice(_TEXTS)
        case FieldDescriptor.CPPTYPE_BOOL:
            return random.random() < 0.5
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return random.choice(_BROKEN)
        case FieldDescriptor.CPPTYPE_ENUM:
            return random.choice((0, 1, 2, 3, 5, 99))
        case _:
            return _within(field, random.choice(_WHOLE))


def _within(field: FieldDescriptor, value: int) -> int:
    bits = 32 if field.cpp_type in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32) else 64
    is_signed = field.cpp_type in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)
    code = {(32, True): "i", (32, False): "I", (64, True): "q", (64, False): "Q"}[bits, is_signed]
    number: int = struct.unpack(f"<{code}", (value & ((1 << bits) - 1)).to_bytes(bits // 8, "little"))[0]
    return number


def _span(random: Random, data: bytes) -> tuple[int, int]:
    start = random.randint(0, len(data))
    return start, min(len(data), start + random.choice((1, 2, 4, 16, 64)))


def _flip(random: Random, data: bytes) -> bytes:
    if not data:
        return random.randbytes(1)
    place = random.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]


def _cut_out(random: Random, data: bytes) -> bytes:
    start, end = _span(random, data)
    return data[:start] + data[end:]


def _cut_off(random: Random, data: bytes) -> bytes:
    return data[: random.randint(0, len(data))]


def _repeat(random: Random, data: bytes) -> bytes:
    start, end = _span(random, data)
    return data[:end] + data[start:end] * random.choice((1, 2, 40)) + data[end:]


def _insert(random: Random, data: bytes) -> bytes:
    start, _ = _span(random, data)
    return data[:start] + random.choice(_TOKENS) + data[start:]


def _overwrite(random: Random, data: bytes) -> bytes:
    start, end = _span(random, data)
    return data[:start] + random.randbytes(end - start) + data[end:]


_ACCIDENTS: tuple[Callable[[Random, bytes], bytes], ...] = (_flip, _cut_out, _cut_off, _repeat, _insert, _overwrite)

"""Messages, looked at before they are decoded."""

import pytest
from clipper.v1 import input_pb2, query_service_pb2
from google.protobuf.message import DecodeError, Message

from services.query import wire

_MANY = 1 << 20
_PREDICT = query_service_pb2.PredictRequest
_FEEDBACK = query_service_pb2.FeedbackRequest


def _count(message: Message, most: int = _MANY) -> int:
    return wire.count_parts(message.DESCRIPTOR, message.SerializeToString(), most)


def _inputs(*lengths: int) -> input_pb2.Inputs:
    return input_pb2.Inputs(type=input_pb2.INPUT_TYPE_BYTES, data=bytes(sum(lengths)), lengths=lengths)


def test_a_field_is_a_part_and_so_are_those_of_a_message_in_it_and_packed_numbers() -> None:
    assert _count(_PREDICT()) == 0
    assert _count(_PREDICT(application="app", version="1", explain=True)) == 3
    assert _count(_PREDICT(inputs=_inputs())) == 2
    assert _count(_PREDICT(inputs=_inputs(3, 0, 127, 128, 70_000))) == 4 + 5


def test_the_size_of_text_and_bytes_does_not_count() -> None:
    assert _count(_PREDICT(application="x" * 1_000_000, inputs=_inputs(1_000_000))) == 2 + 3 + 1


def test_items_of_feedback_are_counted_with_all_that_is_in_them() -> None:
    items = [
        query_service_pb2.FeedbackItem(query_id=2**64 - 1, label="y"),
        query_service_pb2.FeedbackItem(input=_inputs(1), reward=0.5, context="c", feedback_id="f"),
        query_service_pb2.FeedbackItem(),
    ]
    assert _count(_FEEDBACK(application="app", feedback=items)) == 1 + 3 + (5 + 4) + 1


def test_numbers_that_are_not_packed_count_alike() -> None:
    unpacked = b"\x12\x06" + b"\x18\x05" * 3
    assert list(_PREDICT.FromString(unpacked).inputs.lengths) == [5, 5, 5]
    assert wire.count_parts(_PREDICT.DESCRIPTOR, unpacked, _MANY) == 1 + 3


def test_fields_that_nobody_knows_count() -> None:
    unknown = b"\x78\x00" + b"\x7a\x02ab" + b"\x7d1234" + b"\x7912345678" + b"\x7b\x7c"
    assert _PREDICT.FromString(unknown) is not None
    assert wire.count_parts(_PREDICT.DESCRIPTOR, unknown, _MANY) == 6


def test_counting_ends_soon_above_the_most() -> None:
    items = [query_service_pb2.FeedbackItem(query_id=1)] * 1_000
    assert 10 < _count(_FEEDBACK(feedback=items), most=10) <= 12


@pytest.mark.parametrize(
    "malformed",
    [b"\xff" * 20, b"\x12", b"\x12\x05abc", b"\x08", b"\x12\xff", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"],
)
def test_what_is_malformed_is_left_to_the_decoder(malformed: bytes) -> None:
    for start in (b"", b"\x0a\x03app"):
        with pytest.raises(DecodeError):
            _PREDICT.FromString(start + malformed)
        assert wire.count_parts(_PREDICT.DESCRIPTOR, start + malformed, _MANY) <= 2

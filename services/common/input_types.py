"""The contract's numbers for input types, for the modules that convert messages."""

from clipper.v1 import input_pb2

from services.common.names import InputType

TO_PROTO = {
    InputType.BYTES: input_pb2.INPUT_TYPE_BYTES,
    InputType.INTS: input_pb2.INPUT_TYPE_INTS,
    InputType.FLOATS: input_pb2.INPUT_TYPE_FLOATS,
    InputType.DOUBLES: input_pb2.INPUT_TYPE_DOUBLES,
    InputType.STRINGS: input_pb2.INPUT_TYPE_STRINGS,
}
FROM_PROTO = {number: input_type for input_type, number in TO_PROTO.items()}

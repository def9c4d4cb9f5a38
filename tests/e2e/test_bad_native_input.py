"""Bad predictions over native gRPC: each ends with a clear status, and nothing behind the edge takes harm."""

from typing import Any

import grpc
import pytest
from clipper.v1 import input_pb2, query_service_pb2
from google.rpc import error_details_pb2, status_pb2

from clipper_admin import ClipperConnection
from tests.fixtures.clients import NativeClient, doubles
from tests.fixtures.refusals import MIB
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.usefixtures("nothing_takes_harm")


def native_failure(cluster: ClipperConnection, message: bytes, method: str = "Predict") -> grpc.RpcError:
    """How a call with these bytes ends."""
    with grpc.insecure_channel(cluster.get_query_addr(), [("grpc.max_send_message_length", -1)]) as channel:
        call = channel.unary_unary(
            f"/clipper.v1.QueryService/{method}",
            request_serializer=bytes,
            response_deserializer=query_service_pb2.PredictResponse.FromString,
        )
        with pytest.raises(grpc.RpcError) as refused:
            call(message, timeout=60)
    return refused.value


def assert_reason(error: grpc.RpcError, code: grpc.StatusCode, reason: str, message: str) -> None:
    """Checks a rich error."""
    assert error.code() is code
    [details] = [entry.value for entry in error.trailing_metadata() or () if entry.key == "grpc-status-details-bin"]
    status = status_pb2.Status.FromString(details)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == (reason, "clipper")
    assert message in str(error.details())
    assert status.message == error.details()


def packed(**changed: Any) -> bytes:
    """A native request, good but for what is changed."""
    values: dict[str, Any] = {"type": input_pb2.INPUT_TYPE_DOUBLES, "data": bytes(16), "lengths": [2]}
    inputs = input_pb2.Inputs(**values | changed)
    return query_service_pb2.PredictRequest(application="bad-doubles", inputs=inputs).SerializeToString()


NATIVE_INVALID = {
    "bytes that are no message": (b"\xff" * 20, "not a clipper.v1.PredictRequest"),
    "another type": (packed(type=input_pb2.INPUT_TYPE_INTS), "input type is 'integers', but the application takes"),
    "no type": (packed(type=input_pb2.INPUT_TYPE_UNSPECIFIED), "input type is unspecified"),
    "a type of the future": (packed(type=99), "input type is unspecified"),
    "lengths beyond the data": (packed(lengths=[3]), "lengths add up to 3 elements of 8 bytes"),
    "lengths short of the data": (packed(lengths=[1]), "lengths add up to 1 elements of 8 bytes"),
    "half a number": (packed(data=bytes(12), lengths=[1]), "the data has 12 bytes"),
    "data without lengths": (packed(lengths=[]), "lengths add up to 0 elements"),
    "an enormous length": (packed(lengths=[(1 << 32) - 1] * 3), "lengths add up to 12884901885 elements"),
}


@pytest.mark.parametrize(("message", "explanation"), NATIVE_INVALID.values(), ids=NATIVE_INVALID)
def test_a_native_request_that_cannot_be_meant(cluster: ClipperConnection, message: bytes, explanation: str) -> None:
    error = native_failure(cluster, message)

    assert_reason(error, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT", explanation)


def test_a_native_string_that_is_not_utf_8(cluster: ClipperConnection) -> None:
    inputs = input_pb2.Inputs(type=input_pb2.INPUT_TYPE_STRINGS, data=b"\xc3\x28", lengths=[2])
    request = query_service_pb2.PredictRequest(application="bad-strings", inputs=inputs)

    error = native_failure(cluster, request.SerializeToString())

    assert_reason(error, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT", "not valid UTF-8")


def test_a_native_request_for_an_unknown_application(cluster: ClipperConnection) -> None:
    error = native_failure(cluster, doubles("nobody", [[1.0]]).SerializeToString())

    assert_reason(error, grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "No application with name 'nobody' exists.")


def test_a_native_request_for_an_unknown_version(cluster: ClipperConnection) -> None:
    request = doubles("bad-doubles", [[1.0]])
    request.version = "7"

    error = native_failure(cluster, request.SerializeToString())

    assert_reason(error, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT", "Requested version: 7 does not exist")


def test_a_native_message_beyond_the_limit(cluster: ClipperConnection) -> None:
    message, codes = packed(data=bytes(65 * MIB), lengths=[65 * MIB // 8]), list[grpc.StatusCode]()

    def is_answered() -> bool:
        codes.append(native_failure(cluster, message).code())
        # Who takes so much in may miss a sign of life, where the machine has no time for it.
        return codes[-1] is not grpc.StatusCode.UNAVAILABLE

    wait_until(is_answered, within_s=90)
    assert codes[-1] is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_native_message_below_the_limit_is_no_error(cluster: ClipperConnection) -> None:
    with NativeClient(cluster.get_query_addr(), "bad-doubles") as client:
        assert client.ask([0.5] * MIB).output == MIB / 2


@pytest.mark.parametrize("method", ["Forget", "", "predict"])
def test_an_unknown_native_method(cluster: ClipperConnection, method: str) -> None:
    assert native_failure(cluster, packed(), method).code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_bad_request_ends_its_stream_and_no_other(cluster: ClipperConnection) -> None:
    good = query_service_pb2.PredictStreamRequest(request_id=1, request=doubles("bad-doubles", [[1.0]]))
    bad = query_service_pb2.PredictStreamRequest(request_id=2, request=doubles("nobody", [[1.0]]))

    with NativeClient(cluster.get_query_addr(), "bad-doubles") as client:
        ends = client.stub.PredictStream(iter([bad, good]), timeout=20)
        goes_on = client.stub.PredictStream(iter([good] * 3), timeout=20)
        with pytest.raises(grpc.RpcError) as refused:
            list(ends)
        assert len(list(goes_on)) == 3

    assert_reason(refused.value, grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "No application with name 'nobody' exists.")

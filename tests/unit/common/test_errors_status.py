"""From an exception to the status of an RPC."""

import logging

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from services.common import errors
from services.common.status import RpcStatus, from_exception, to_proto

_SECRET = "the password is swordfish"


def _details(status: RpcStatus) -> tuple[status_pb2.Status, error_details_pb2.ErrorInfo]:
    """The rich error that a status carries."""
    ((key, value),) = status.trailing_metadata
    assert key == "grpc-status-details-bin"
    assert isinstance(value, bytes)
    rich = status_pb2.Status.FromString(value)
    info = error_details_pb2.ErrorInfo()
    assert rich.details[0].Unpack(info)
    return rich, info


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (errors.InvalidInput, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT"),
        (errors.NotFound, grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
        (errors.AlreadyExists, grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS"),
        (errors.Conflict, grpc.StatusCode.FAILED_PRECONDITION, "CONFLICT"),
        (errors.StoreUnavailable, grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"),
        (errors.NotServing, grpc.StatusCode.UNAVAILABLE, "NOT_SERVING"),
        (errors.ModelFailed, grpc.StatusCode.INTERNAL, "MODEL_ERROR"),
    ],
)
def test_an_error_for_callers_has_its_code_message_and_reason(
    error: type[errors.ClipperError], code: grpc.StatusCode, reason: str
) -> None:
    status = from_exception(error("what is wrong, é"))
    assert (status.code, status.message) == (code, "what is wrong, é")
    rich, info = _details(status)
    assert (rich.code, rich.message) == (code.value[0], "what is wrong, é")
    assert (info.reason, info.domain) == (reason, "clipper")


def test_a_missed_deadline_has_the_reason_that_it_is_given() -> None:
    status = from_exception(errors.DeadlineMissed("late", "DEADLINE_IN_MODEL"))
    assert (status.code, status.message) == (grpc.StatusCode.DEADLINE_EXCEEDED, "late")
    assert _details(status)[1].reason == "DEADLINE_IN_MODEL"


@pytest.mark.parametrize(("retry_after_s", "micros"), [(0.25, 250_000), (1e-6, 1), (3_000.5, 3_000_500_000)])
def test_a_lack_of_capacity_tells_when_to_try_again(retry_after_s: float, micros: int) -> None:
    status = from_exception(errors.NoCapacity("full", "QUEUE_FULL", retry_after_s))
    assert (status.code, status.message) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
    rich, info = _details(status)
    retry = error_details_pb2.RetryInfo()
    assert rich.details[1].Unpack(retry)
    assert (info.reason, retry.retry_delay.ToMicroseconds()) == ("QUEUE_FULL", micros)


def test_a_status_as_a_message_says_the_same_as_in_the_metadata() -> None:
    status = from_exception(errors.NoCapacity("full", "QUEUE_FULL", 0.25))
    assert to_proto(status) == _details(status)[0]


def test_a_more_special_error_has_its_own_reason_and_the_code_of_its_kind() -> None:
    class TooLarge(errors.InvalidInput):
        reason = "TOO_LARGE"

    status = from_exception(TooLarge("too large"))
    assert status.code is grpc.StatusCode.INVALID_ARGUMENT
    assert _details(status)[1].reason == "TOO_LARGE"


@pytest.mark.parametrize("kind", [ValueError, KeyError, OSError, AssertionError, SystemExit, errors.ClipperError])
def test_the_text_of_any_other_exception_goes_to_the_log_and_nowhere_else(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        status = from_exception(kind(_SECRET))
    assert status.code is grpc.StatusCode.INTERNAL
    assert status.message == errors.UNEXPECTED
    assert "swordfish" not in repr(status)
    assert _details(status)[1].reason == "INTERNAL"
    assert "swordfish" in caplog.text


def test_the_cause_of_an_error_for_callers_stays_inside() -> None:
    error = errors.StoreUnavailable("The configuration store cannot be reached")
    error.__cause__ = OSError(_SECRET)
    assert "swordfish" not in repr(from_exception(error))


@pytest.mark.parametrize("letter", ["x", "é", "😀"])
def test_a_long_message_is_cut_between_characters_so_that_clients_accept_it(letter: str) -> None:
    status = from_exception(errors.InvalidInput(letter * 100_000))
    assert status.message.replace(letter, "") == "…"
    assert len(status.message.encode()) <= 1_510
    # Percent-encoded in one header and repeated, base64-encoded, in the other.
    assert 3 * len(status.message.encode()) + 4 * len(status.trailing_metadata[0][1]) // 3 < 8_192


def test_a_name_that_never_ends_leaves_room_for_what_to_do() -> None:
    status = from_exception(errors.InvalidInput(f"The name '{'x' * 100_000}' is too long. Take a shorter one"))
    assert status.message.startswith("The name 'xxx")
    assert status.message.endswith("xxx' is too long. Take a shorter one")


def test_a_message_that_fits_is_not_cut() -> None:
    assert from_exception(errors.InvalidInput("x" * 1_500)).message == "x" * 1_500

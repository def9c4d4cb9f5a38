"""The contract of the front's unary calls, over real sockets and with grpcio's own clients.

What an upgrade of grpcio may break in services/query/front fails here or in the other test_front_*.py.
"""

import asyncio
import gc
import math
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.common.errors import UNEXPECTED, NotFound
from services.common.status import RpcStatus, from_exception
from services.query.front import Front, Loop, UnaryCall
from tests.integration.fronts import ECHO, PATIENCE_S, channel_to, code_of, running_front, stream, unary, wait_until

SECRET = "the password is swordfish"


def echo(call: UnaryCall, request: bytes) -> None:
    call.reply(request)


@pytest.fixture
def front() -> Iterator[Front]:
    with running_front({ECHO: echo}) as running:
        yield running


def test_a_unary_call_is_answered(front: Front) -> None:
    with channel_to(front) as channel:
        assert unary(channel)(b"hello", timeout=PATIENCE_S) == b"hello"


def test_an_empty_message_is_a_message(front: Front) -> None:
    with channel_to(front) as channel:
        assert unary(channel)(b"", timeout=PATIENCE_S) == b""


def test_an_aio_client_is_answered(front: Front) -> None:
    async def call() -> list[bytes]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{front.port}") as channel:
            echo_call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(ECHO)
            return list(await asyncio.gather(*(echo_call(b"%d" % i, timeout=PATIENCE_S) for i in range(50))))

    assert asyncio.run(call()) == [b"%d" % i for i in range(50)]


def test_concurrent_calls_on_several_channels_each_get_their_own_answer(front: Front) -> None:
    channels = [channel_to(front) for _ in range(4)]
    pending = [(b"%d" % i, unary(channels[i % 4]).future(b"%d" % i, timeout=PATIENCE_S)) for i in range(200)]
    assert all(future.result() == request for request, future in pending)
    for channel in channels:
        channel.close()


def test_calls_that_arrive_while_the_front_is_busy_wait_instead_of_being_refused() -> None:
    at_work, released = threading.Event(), threading.Event()

    def busy_at_first(call: UnaryCall, request: bytes) -> None:
        at_work.set()
        released.wait(PATIENCE_S)
        call.reply(request)

    with running_front({ECHO: busy_at_first}) as front, channel_to(front) as channel:
        first = unary(channel).future(b"", timeout=PATIENCE_S)
        assert at_work.wait(PATIENCE_S)
        pending = [unary(channel).future(b"", timeout=PATIENCE_S * 3) for _ in range(4000)]
        released.set()
        assert {future.code() for future in [first, *pending]} == {grpc.StatusCode.OK}


def test_the_handler_sees_method_metadata_and_deadline() -> None:
    seen: list[tuple[str, dict[str, str | bytes], float]] = []

    def look(call: UnaryCall, request: bytes) -> None:
        seen.append((call.method, dict(call.metadata), call.ends_s))
        call.reply(b"")

    sent = (("x-user", "ada"), ("x-key-bin", b"\x00\xff"))
    with running_front({ECHO: look}) as front, channel_to(front) as channel:
        asked_s = time.monotonic()
        unary(channel)(b"", timeout=PATIENCE_S, metadata=sent)
        answered_s = time.monotonic()
        unary(channel)(b"")
    (method, metadata, ends_s), (_, _, never_s) = seen
    assert method == ECHO
    assert dict(sent).items() <= metadata.items()
    assert asked_s + PATIENCE_S - 0.1 < ends_s < answered_s + PATIENCE_S + 0.1  # a timeout travels rounded
    assert never_s == math.inf


def test_a_reply_may_come_from_another_thread() -> None:
    repliers: list[threading.Thread] = []

    def reply_elsewhere(call: UnaryCall, request: bytes) -> None:
        repliers.append(threading.Thread(target=call.reply, args=(request,), name="replier"))
        repliers[-1].start()

    with running_front({ECHO: reply_elsewhere}) as front, channel_to(front) as channel:
        assert unary(channel)(b"hello", timeout=PATIENCE_S) == b"hello"
        repliers[0].join()


def test_only_the_first_answer_counts() -> None:
    def answer_often(call: UnaryCall, request: bytes) -> None:
        call.reply(b"first")
        call.reply(b"second")
        call.fail(RpcStatus(grpc.StatusCode.ABORTED))
        raise ValueError(SECRET)

    with running_front({ECHO: answer_often}) as front, channel_to(front) as channel:
        for _ in range(2):
            assert unary(channel)(b"", timeout=PATIENCE_S) == b"first"


def test_a_failure_carries_rich_details() -> None:
    def fail(call: UnaryCall, request: bytes) -> None:
        call.fail(from_exception(NotFound("no application 'digits'")))

    with running_front({ECHO: fail}) as front, channel_to(front) as channel:
        future = unary(channel).future(b"", timeout=PATIENCE_S)
        assert (future.code(), future.details()) == (grpc.StatusCode.NOT_FOUND, "no application 'digits'")
        status = rpc_status.from_call(future)
    info = error_details_pb2.ErrorInfo()
    assert status is not None
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == (NotFound.reason, "clipper")


def test_an_unexpected_exception_stays_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def break_down(call: UnaryCall, request: bytes) -> None:
        if request == b"break":
            raise RuntimeError(SECRET)
        call.reply(request)

    with running_front({ECHO: break_down}) as front, channel_to(front) as channel:
        future = unary(channel).future(b"break", timeout=PATIENCE_S)
        assert (future.code(), future.details()) == (grpc.StatusCode.INTERNAL, UNEXPECTED)
        assert SECRET not in str(future.trailing_metadata())
        assert SECRET in caplog.text
        assert unary(channel)(b"hello", timeout=PATIENCE_S) == b"hello"


def test_malformed_bytes_reach_the_handler_and_fail_cleanly(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[bytes] = []

    def parse(call: UnaryCall, request: bytes) -> None:
        seen.append(request)
        request.decode()

    with running_front({ECHO: parse}) as front, channel_to(front) as channel:
        assert code_of(lambda: unary(channel)(b"\xff\x00\xfe", timeout=PATIENCE_S)) == grpc.StatusCode.INTERNAL
    assert seen == [b"\xff\x00\xfe"]


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(RpcStatus(grpc.StatusCode.ABORTED, "no", (("Bad Key", "v"),)), id="key"),
        pytest.param(RpcStatus(grpc.StatusCode.ABORTED, "no", (("key", "\n"),)), id="value"),
        pytest.param(RpcStatus(grpc.StatusCode.ABORTED, "no", (("key-bin", "text"),)), id="type"),
    ],
)
def test_a_status_that_cannot_be_sent_fails_the_call_without_a_hang(status: RpcStatus) -> None:
    with running_front({ECHO: lambda call, _: call.fail(status)}) as front, channel_to(front) as channel:
        assert code_of(lambda: unary(channel)(b"", timeout=PATIENCE_S)) == grpc.StatusCode.INTERNAL


def test_any_text_can_be_a_status_message() -> None:
    status = RpcStatus(grpc.StatusCode.ABORTED, "line\nline ü \ud800")
    with running_front({ECHO: lambda call, _: call.fail(status)}) as front, channel_to(front) as channel:
        future = unary(channel).future(b"", timeout=PATIENCE_S)
        assert (future.code(), future.details()) == (grpc.StatusCode.ABORTED, "line\nline ü ?")


@pytest.mark.parametrize("kind", ["unary_unary", "stream_stream"])
def test_an_unknown_method_is_unimplemented(front: Front, kind: str) -> None:
    with channel_to(front) as channel:
        if kind == "unary_unary":
            code = code_of(lambda: unary(channel, "/test.Service/Nothing")(b"", timeout=PATIENCE_S))
        else:
            code = code_of(lambda: next(stream(channel, "/test.Service/Nothing")(iter([b""]), timeout=PATIENCE_S)))
    assert code == grpc.StatusCode.UNIMPLEMENTED


def test_an_oversized_request_is_refused_and_the_next_one_served() -> None:
    with running_front({ECHO: echo}, max_message_bytes=1000) as front, channel_to(front) as channel:
        code = code_of(lambda: unary(channel)(b"x" * 1001, timeout=PATIENCE_S))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert unary(channel)(b"x" * 1000, timeout=PATIENCE_S) == b"x" * 1000


def test_a_call_without_a_request_message_is_refused(front: Front) -> None:
    with channel_to(front) as channel:
        no_message: grpc.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(ECHO)
        code = code_of(lambda: no_message(iter(()), timeout=PATIENCE_S))
    assert code == grpc.StatusCode.INVALID_ARGUMENT


def test_tls_is_served(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    options = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    options += " -addext subjectAltName=DNS:localhost"
    command = ("openssl", "req", *options.split(), "-keyout", str(key), "-out", str(certificate))
    subprocess.run(command, check=True, capture_output=True)
    server = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    client = grpc.ssl_channel_credentials(certificate.read_bytes())
    with (
        running_front({ECHO: echo}, credentials=server) as front,
        grpc.secure_channel(f"localhost:{front.port}", client) as channel,
    ):
        assert unary(channel)(b"secret", timeout=PATIENCE_S) == b"secret"


def test_an_address_in_use_is_an_error(front: Front) -> None:
    with pytest.raises(OSError, match="cannot bind"):
        Front(Loop(), f"127.0.0.1:{front.port}", {}, {}, max_message_bytes=1, max_unanswered=1)


def test_processes_may_share_a_port_on_request() -> None:
    first = Front(Loop(), "127.0.0.1:0", {}, {}, max_message_bytes=1, max_unanswered=1, reuse_port=True)
    second = Front(Loop(), f"127.0.0.1:{first.port}", {}, {}, max_message_bytes=1, max_unanswered=1, reuse_port=True)
    assert first.port == second.port
    for front in (first, second):
        front.start()
        front.drain(0)


def test_finished_calls_leave_nothing_behind(front: Front) -> None:
    gc.collect()
    gc.disable()
    try:
        with channel_to(front) as channel:
            pending = [unary(channel).future(b"", timeout=PATIENCE_S) for _ in range(2000)]
            assert all(future.result() == b"" for future in pending)
            wait_until(lambda: not any(type(thing) is UnaryCall for thing in gc.get_objects()))
    finally:
        gc.enable()


def test_metadata_beyond_the_cores_soft_limit_is_never_refused_by_chance(front: Front) -> None:
    with channel_to(front) as channel:
        metadata = (("note", "x" * 12_000),)
        answers = [unary(channel)(b"hello", timeout=PATIENCE_S, metadata=metadata) for _ in range(100)]
    assert answers == [b"hello"] * 100

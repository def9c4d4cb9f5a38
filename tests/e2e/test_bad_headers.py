"""Headers that gRPC gives a meaning, sent by clients that do not mean it: they harm nobody else, on neither port."""

import http.client
import itertools
from collections.abc import Iterator

import grpc
import pytest
from clipper.v1 import management_service_pb2, management_service_pb2_grpc

from clipper_admin import ClipperConnection
from tests.fixtures import raw_http2
from tests.fixtures.clients import PATIENCE_S, NativeClient, RestClient, doubles
from tests.fixtures.refusals import GOOD, invalid, raw

pytestmark = pytest.mark.usefixtures("nothing_takes_harm")

_numbers = itertools.count(1_000_000)
# Envoy puts eight calls on a connection to a query service: so many are on all that an attack may have used.
AT_ONCE = 48
EVERYTHING = b'{"verbose": false}'

# The timeouts that gRPC's own parser does not take, and those that its specification does not allow.
BAD_TIMEOUTS = {
    "negative": b"-1S",
    "empty": b"",
    "without a number": b"S",
    "without a unit": b"1",
    "in an unknown unit": b"1X",
    "in words": b"soon",
    "of nine digits": b"100000000n",
    "beyond all numbers": b"99999999999H",
    "hexadecimal": b"0x1S",
    "with a blank": b"1 S",
    "of odd bytes": b"\xff\xfe",
}
BAD_HEADERS = {
    **{f"a timeout {name}": [("grpc-timeout", value)] for name, value in BAD_TIMEOUTS.items()},
    "a timeout of nothing": [("grpc-timeout", b"0n")],
    "a timeout of eleven thousand years": [("grpc-timeout", b"99999999H")],
    "two timeouts": [("grpc-timeout", b"1S"), ("grpc-timeout", b"-1S")],
    "an unknown encoding": [("grpc-encoding", b"bogus")],
    "an empty encoding": [("grpc-encoding", b"")],
    "two encodings": [("grpc-encoding", b"identity"), ("grpc-encoding", b"bogus")],
    "unknown encodings to accept": [("grpc-accept-encoding", b"garbage")],
    "a status": [("grpc-status", b"x"), ("grpc-message", b"%%%\xff")],
    "attempts": [("grpc-previous-rpc-attempts", b"x"), ("grpc-retry-pushback-ms", b"x")],
    "an inner encoding": [("grpc-internal-encoding-request", b"x")],
    "load balancer's statistics": [("grpclb_client_stats", b"x")],
    "bytes that are no base64": [("x-foo-bin", b"!!!"), ("grpc-trace-bin", b"#")],
    "encodings of transfer": [("te", b"gzip")],
    "odd bytes": [("x-foo", b"\x80\xff"), ("user-agent", b"\xff"), ("traceparent", b"\xff")],
    "a name that is none in gRPC": [("x~foo", b"1")],
    "orders to Envoy": [("x-envoy-max-retries", b"99999999999"), ("x-envoy-upstream-rq-timeout-ms", b"x")],
}  # fmt: skip


@pytest.fixture(autouse=True)
def others_are_served(cluster: ClipperConnection, nothing_takes_harm: None) -> Iterator[None]:
    """After each test calls with deadlines are answered on all connections behind both ports, and REST is, too."""
    yield
    with NativeClient(cluster.get_query_addr(), "bad-doubles") as client:
        asked = [next(_numbers) for _ in range(AT_ONCE)]
        calls = [client.stub.Predict.future(doubles("bad-doubles", [[number]]), timeout=PATIENCE_S) for number in asked]
        assert [float(call.result().predictions[0].output) for call in calls] == asked
    with grpc.insecure_channel(cluster.cm.get_admin_addr()) as channel:
        stub = management_service_pb2_grpc.ManagementServiceStub(channel)
        for _ in range(4):
            stub.Ping(management_service_pb2.PingRequest(), timeout=PATIENCE_S)
    with RestClient(cluster.get_query_addr(), "bad-doubles") as rest:
        assert not any(rest.ask([next(_numbers)]).error for _ in range(8))
    assert "bad-doubles" in cluster.get_all_apps()


@pytest.mark.parametrize("headers", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_bad_headers_harm_only_who_sends_them(cluster: ClipperConnection, headers: list[tuple[str, bytes]]) -> None:
    query, admin = cluster.get_query_addr(), cluster.cm.get_admin_addr()
    request = doubles("bad-doubles", [[1.0]])
    for _ in range(4):
        raw(query, "POST", "/bad-doubles/predict", GOOD, headers)
        raw(query, "POST", "/bad-doubles/update", b"{}", headers)
        raw(query, "GET", "/metrics", None, headers)
        raw(admin, "POST", "/admin/get_all_applications", EVERYTHING, headers)
        raw_http2.call(query, "/clipper.v1.QueryService/Predict", request, headers)
        raw_http2.call(admin, "/clipper.v1.ManagementService/Ping", management_service_pb2.PingRequest(), headers)


@pytest.mark.parametrize(
    "path",
    [
        "/clipper.v1.ManagementService/Get\xa9",
        "/grpc.health.v1.Health/\xff",
        "/grpc.reflection.\x80",
        "/clipper.v1.ManagementService/Ping?\xe9",
        "/\xc3\x28",
    ],
)
def test_a_path_that_is_no_text_ends_no_service(cluster: ClipperConnection, path: str) -> None:
    for address in (cluster.cm.get_admin_addr(), cluster.get_query_addr()):
        raw_http2.call(address, path, management_service_pb2.PingRequest(), [])


@pytest.mark.parametrize("timeout", BAD_TIMEOUTS.values(), ids=BAD_TIMEOUTS)
def test_rest_is_told_what_a_timeout_looks_like(cluster: ClipperConnection, timeout: bytes) -> None:
    header = [("grpc-timeout", timeout)]
    for refused in (
        raw(cluster.get_query_addr(), "POST", "/bad-doubles/predict", GOOD, header),
        raw(cluster.cm.get_admin_addr(), "POST", "/admin/get_all_applications", EVERYTHING, header),
    ):
        assert "grpc-timeout must be a number of at most 8 digits and a unit" in invalid(refused)


@pytest.mark.parametrize("port", ["query", "admin"])
def test_a_native_client_is_told_what_a_timeout_looks_like(cluster: ClipperConnection, port: str) -> None:
    if port == "query":
        address, path = cluster.get_query_addr(), "/clipper.v1.QueryService/Predict"
    else:
        address, path = cluster.cm.get_admin_addr(), "/clipper.v1.ManagementService/Ping"
    # Envoy takes gRPC over HTTP/1.1 as well, where its answer can be read.
    headers = [("content-type", b"application/grpc"), ("te", b"trailers"), ("grpc-timeout", b"-1S")]

    refused = raw(address, "POST", path, raw_http2.grpc_message(doubles("bad-doubles", [[1.0]])), headers)

    assert refused.status_code == http.client.OK
    assert refused.headers["grpc-status"] == str(grpc.StatusCode.INTERNAL.value[0])
    assert refused.headers["grpc-message"].startswith("The header grpc-timeout must be")


@pytest.mark.parametrize("encoding", [b"gzip", b"bogus", b""], ids=["known", "unknown", "empty"])
def test_rest_is_told_that_its_body_has_no_grpc_encoding(cluster: ClipperConnection, encoding: bytes) -> None:
    header = [("grpc-encoding", encoding)]
    for refused in (
        raw(cluster.get_query_addr(), "POST", "/bad-doubles/predict", GOOD, header),
        raw(cluster.cm.get_admin_addr(), "POST", "/admin/get_all_applications", EVERYTHING, header),
    ):
        assert "grpc-encoding" in invalid(refused)


@pytest.mark.parametrize(
    "headers",
    [
        [("grpc-accept-encoding", b"gzip")],
        [("grpc-encoding", b"identity")],
        [("grpc-status", b"x")],
        [("grpc-trace-bin", b"#")],
        [("x-foo-bin", b"!!!")],
        [("grpc-foo", b"\xff")],
        # Names that HTTP allows and gRPC does not.
        *([(f"x{sign}foo", b"1")] for sign in "!#$%&'*+^`|~"),
    ],
    ids=lambda headers: str(headers[0][0]),
)
def test_what_means_nothing_in_rest_is_ignored(cluster: ClipperConnection, headers: list[tuple[str, bytes]]) -> None:
    assert raw(cluster.get_query_addr(), "POST", "/bad-doubles/predict", GOOD, headers).json()["output"] == 3.0
    found = raw(cluster.cm.get_admin_addr(), "POST", "/admin/get_all_applications", EVERYTHING, headers)
    assert "bad-doubles" in found.json()

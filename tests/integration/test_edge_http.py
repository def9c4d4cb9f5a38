"""What Envoy settles of HTTP before a service hears of a request: versions, origins, compression, sizes, methods."""

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import requests
from clipper.v1 import query_service_pb2 as query
from clipper.v1 import query_service_pb2_grpc

from clipper_admin.edge import EdgeSettings
from clipper_admin.hosts.process import ports
from tests.fixtures.edges import PATIENCE_S, Edge, echo_server, envoy, resident_bytes
from tests.fixtures.floods import connected
from tests.fixtures.refusals import refusal

MIB = 1 << 20
SHOP = "https://shop.example"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Envoy in front of the echo services; pages of SHOP may ask."""
    yield from edge_with(tmp_path_factory.mktemp("edge"), SHOP, "http://localhost:3000")


@pytest.fixture(scope="module")
def public_edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """The same for everybody's pages."""
    yield from edge_with(tmp_path_factory.mktemp("public"), "*")


@pytest.fixture(scope="module")
def closed_edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """The same for nobody's."""
    yield from edge_with(tmp_path_factory.mktemp("closed"))


def edge_with(directory: Path, *origins: str) -> Iterator[Edge]:
    [port] = ports.free_ports(1)
    address = ports.address(port)
    with echo_server(port), envoy(directory, [address], address, EdgeSettings(cors_origins=origins)) as running:
        yield running


def predict(edge: Edge, body: bytes, **headers: str) -> requests.Response:
    return requests.post(f"http://{edge.query}/app/predict", data=body, headers=headers, timeout=PATIENCE_S)


@pytest.mark.parametrize("port", ["query", "admin"])
@pytest.mark.parametrize("host", ["", "host: clipper\r\n"], ids=["without a host", "with a host"])
def test_http_1_0_is_answered_and_closed(edge: Edge, port: str, host: str) -> None:
    path = "/metrics" if port == "query" else "/admin/ping"
    answer = b""
    with connected(getattr(edge, port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\n{host}\r\n".encode())
        while received := connection.recv(4096):
            answer += received

    assert answer.startswith(b"HTTP/1.0 200 OK")
    assert answer.endswith(b'{"counters": []}' if port == "query" else b"PONG")


def preflight(edge: Edge, origin: str, path: str = "/app/predict") -> requests.Response:
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    return requests.options(f"http://{edge.query}{path}", headers=asked, timeout=PATIENCE_S)


@pytest.mark.parametrize("path", ["/app/predict", "/app/update", "/metrics"])
def test_a_browser_may_ask_for_a_page_of_an_allowed_origin(edge: Edge, path: str) -> None:
    allowed = preflight(edge, SHOP, path)
    answer = predict(edge, b"{}", origin=SHOP)

    assert allowed.ok
    assert allowed.headers["access-control-allow-origin"] == SHOP
    assert "POST" in allowed.headers["access-control-allow-methods"]
    assert "content-type" in allowed.headers["access-control-allow-headers"]
    assert answer.ok
    assert answer.headers["access-control-allow-origin"] == SHOP


def test_what_is_refused_can_be_read_by_a_page_of_an_allowed_origin(edge: Edge) -> None:
    url = f"http://{edge.query}/unknown/predict"
    unknown = requests.post(url, data=b"{}", headers={"origin": SHOP}, timeout=PATIENCE_S)
    large = predict(edge, b" " * (17 * MIB), origin=SHOP)

    assert (unknown.status_code, large.status_code) == (404, 413)
    assert unknown.headers["access-control-allow-origin"] == SHOP
    assert large.headers["access-control-allow-origin"] == SHOP


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://shop.example.evil.example", "https://shopXexample", "null"]
)
def test_a_page_of_another_origin_is_not_told_that_it_may_ask(edge: Edge, origin: str) -> None:
    for answer in (preflight(edge, origin), predict(edge, b"{}", origin=origin)):
        assert "access-control-allow-origin" not in answer.headers
    refusal(preflight(edge, origin), 405, 12, "METHOD_NOT_ALLOWED")


def test_pages_of_all_origins_may_ask_where_that_is_set(public_edge: Edge) -> None:
    assert preflight(public_edge, "https://any.example").headers["access-control-allow-origin"] == "https://any.example"


def test_no_page_may_ask_unless_it_is_set(closed_edge: Edge) -> None:
    refusal(preflight(closed_edge, SHOP), 405, 12, "METHOD_NOT_ALLOWED")
    answer = predict(closed_edge, b"{}", origin=SHOP)
    assert answer.ok
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("size", [2, 1000, 15 * MIB], ids=["small", "a kilobyte", "15 MiB"])
@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "identity"])
def test_a_compressed_body_reaches_the_service_as_it_was_before(edge: Edge, encoding: str, size: int) -> None:
    body = os.urandom(size)
    sent = body if encoding == "identity" else gzip.compress(body, 1)

    assert predict(edge, sent, **{"content-encoding": encoding}).json()["bytes"] == size


def test_the_administration_takes_compressed_bodies_too(edge: Edge) -> None:
    response = requests.post(
        f"http://{edge.admin}/admin/add_app",
        data=gzip.compress(b'{"name": "a"}'),
        headers={"content-encoding": "gzip"},
        timeout=PATIENCE_S,
    )
    assert response.json()["name"] == "a"


@pytest.mark.parametrize("port", ["query", "admin"])
@pytest.mark.parametrize("encoding", ["deflate", "br", "zstd", "gzip, gzip"])
def test_other_compressions_are_refused_by_name(edge: Edge, port: str, encoding: str) -> None:
    path = "/app/predict" if port == "query" else "/admin/add_app"
    response = requests.post(
        f"http://{getattr(edge, port)}{path}",
        data=zlib.compress(b"{}"),
        headers={"content-encoding": encoding},
        timeout=PATIENCE_S,
    )

    refused = refusal(response, 415, 3, "INVALID_INPUT")
    assert refused == "A body is sent as it is or compressed by gzip"


@pytest.mark.parametrize("port", ["query", "admin"])
def test_a_body_that_is_too_large_decompressed_is_refused_with_the_limit(edge: Edge, port: str) -> None:
    path, limit = ("/app/predict", 16 * MIB) if port == "query" else ("/admin/add_app", MIB)
    sent = gzip.compress(os.urandom(16384) * 2048, 1)
    response = requests.post(
        f"http://{getattr(edge, port)}{path}", data=sent, headers={"content-encoding": "gzip"}, timeout=PATIENCE_S
    )

    assert str(limit) in refusal(response, 413, 8, "TOO_LARGE")


def test_a_body_that_shrinks_as_far_as_gzip_can_reaches_the_service_whole(edge: Edge) -> None:
    body = bytes(16 * MIB)

    assert predict(edge, gzip.compress(body), **{"content-encoding": "gzip"}).json()["bytes"] == len(body)


def test_a_gibibyte_of_nothing_is_refused_and_takes_no_memory(edge: Edge) -> None:
    part = gzip.compress(bytes(64 * MIB))
    before = resident_bytes(edge)

    response = predict(edge, part * 16, **{"content-encoding": "gzip"})

    refusal(response, 413, 8, "TOO_LARGE")
    assert resident_bytes(edge) - before < 200 * MIB


def test_an_answer_that_is_too_large_is_refused_with_the_limit(edge: Edge) -> None:
    def ask(size: int) -> requests.Response:
        url = f"http://{edge.query}/verbose/predict"
        return requests.post(url, data=str(size).encode(), timeout=PATIENCE_S)

    assert len(ask(60 * MIB).content) == 60 * MIB
    assert str(64 * MIB) in refusal(ask(65 * MIB), 400, 3, "LIMIT_EXCEEDED")


def test_native_grpc_on_the_path_of_a_rest_request_reaches_nobody(edge: Edge) -> None:
    with grpc.insecure_channel(edge.query) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary("/app/predict", query.PredictRequest.SerializeToString)(
                query.PredictRequest(), timeout=PATIENCE_S
            )
        stub = query_service_pb2_grpc.QueryServiceStub(channel)
        assert stub.Predict(query.PredictRequest(), timeout=PATIENCE_S).predictions

    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED

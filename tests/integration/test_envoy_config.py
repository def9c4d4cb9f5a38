"""Envoy's configuration: what the public ports make of REST, of native gRPC and of what they have to refuse."""

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import requests
from clipper.v1 import management_service_pb2 as management
from clipper.v1 import management_service_pb2_grpc, query_service_pb2_grpc
from clipper.v1 import query_service_pb2 as query
from google.api import annotations_pb2
from google.protobuf.descriptor import ServiceDescriptor

from clipper_admin.cluster.readiness import is_serving
from clipper_admin.edge import EdgeSettings
from clipper_admin.hosts.process import edge as edge_configuration
from clipper_admin.hosts.process import executables, ports
from tests.fixtures.edges import PATIENCE_S, Edge, dying_feedback, echo_server, envoy
from tests.fixtures.mortals import DEADLY, Mortals
from tests.fixtures.waiting import wait_until

MIB = 1 << 20


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Envoy in front of the echo services."""
    [port] = ports.free_ports(1)
    address = ports.address(port)
    with echo_server(port), envoy(tmp_path_factory.mktemp("edge"), [address], address) as running:
        yield running


def refusal(response: requests.Response, status: int, code: int) -> str:
    """Checks that a response is google.rpc.Status as JSON; returns its message."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"code", "message", "details"}
    assert body["code"] == code
    return str(body["message"])


def test_envoy_accepts_the_configuration(tmp_path: Path) -> None:
    configuration = edge_configuration.write_configuration(
        tmp_path,
        query_port=1337,
        admin_port=1338,
        envoy_admin_port=9901,
        query_services=["127.0.0.1:7001", "query-2.example:7001"],
        management_service="127.0.0.1:7000",
        settings=EdgeSettings(cors_origins=("https://shop.example", "*")),
    )

    command = [executables.envoy(), "--mode", "validate", "-l", "warn", "-c", str(configuration)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stderr
    assert "eprecated" not in checked.stderr


@pytest.mark.parametrize("path", ["/hello/predict", "/hello/predict/"], ids=["plain", "with a trailing slash"])
def test_a_prediction_reaches_the_service_as_it_was_sent_and_so_does_its_answer(edge: Edge, path: str) -> None:
    response = requests.post(f"http://{edge.query}{path}", data=b'{"input": [1.0]}', timeout=PATIENCE_S)

    assert response.text == '{"application": "hello", "bytes": 16, "default": false}'
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/hello/update", "/hello/update/"], ids=["plain", "with a trailing slash"])
def test_feedback_reaches_the_service_as_it_was_sent_and_so_does_its_answer(edge: Edge, path: str) -> None:
    response = requests.post(f"http://{edge.query}{path}", data=b'{"query_id": 1, "label": 1}', timeout=PATIENCE_S)

    assert response.text == '{"application": "hello", "bytes": 27}'
    assert response.headers["content-type"] == "application/json"


def test_feedback_whose_service_went_is_not_sent_again(edge: Edge) -> None:
    body = b'{"input": [1.0], "label": 1}'

    response = requests.post(f"http://{edge.query}/dying/update", data=body, timeout=PATIENCE_S)

    assert refusal(response, 503, code=14) == "the service is going"
    assert dying_feedback == [body]


def test_metrics_are_on_the_query_port(edge: Edge) -> None:
    assert requests.get(f"http://{edge.query}/metrics", timeout=PATIENCE_S).json() == {"counters": []}


def test_admin_bodies_become_typed_fields(edge: Edge) -> None:
    body = {
        "name": "a", "input_type": "doubles", "default_output": "0", "latency_slo_micros": 100_000,
        "selection_policy": "exp3", "policy_parameters": {"eta": 0.5},
    }  # fmt: skip

    response = requests.post(f"http://{edge.admin}/admin/add_app", json=body, timeout=PATIENCE_S)

    assert response.json() == body
    assert requests.get(f"http://{edge.admin}/admin/ping", timeout=PATIENCE_S).text == "PONG"


def test_an_error_of_a_service_is_json_with_its_details(edge: Edge) -> None:
    response = requests.post(f"http://{edge.query}/unknown/predict", data=b"{}", timeout=PATIENCE_S)

    assert refusal(response, 404, code=5) == "there is no such application"
    [details] = response.json()["details"]
    assert details["reason"] == "NOT_FOUND"
    assert details["domain"] == "clipper"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("POST", "/hello/forget"), ("POST", "/clipper.v1.QueryService/Predict")],
    ids=["the root", "an unknown action", "an RPC without gRPC"],
)
def test_unknown_paths_are_not_found(edge: Edge, method: str, path: str) -> None:
    refusal(requests.request(method, f"http://{edge.query}{path}", data=b"{}", timeout=PATIENCE_S), 404, code=5)


def rest_rules(service: ServiceDescriptor) -> list[tuple[str, str]]:
    """The verb and the path, with fields in braces, of every RPC that REST has."""
    rules = [method.GetOptions().Extensions[annotations_pb2.http] for method in service.methods]
    return [
        (rule.WhichOneof("pattern").upper(), getattr(rule, rule.WhichOneof("pattern")))
        for rule in rules
        if rule.WhichOneof("pattern")
    ]


@pytest.mark.parametrize("port", ["query", "admin"])
def test_every_path_says_which_method_it_takes(edge: Edge, port: str) -> None:
    contract = query if port == "query" else management
    [service] = contract.DESCRIPTOR.services_by_name.values()
    rules = rest_rules(service)
    assert len(rules) >= 3

    for verb, path in rules:
        url = f"http://{getattr(edge, port)}{path.replace('{application}', 'a')}"
        response = requests.request("TRACE", url, timeout=PATIENCE_S)
        assert refusal(response, 405, code=12) == f"Only {verb} is allowed here"
        assert response.headers["allow"] == verb


def test_each_port_answers_nothing_of_the_other(edge: Edge) -> None:
    refusal(requests.get(f"http://{edge.query}/admin/ping", timeout=PATIENCE_S), 404, code=5)
    refusal(requests.get(f"http://{edge.admin}/metrics", timeout=PATIENCE_S), 404, code=5)
    with grpc.insecure_channel(edge.query) as channel, pytest.raises(grpc.RpcError) as refused:
        management_service_pb2_grpc.ManagementServiceStub(channel).Ping(management.PingRequest(), timeout=PATIENCE_S)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert refused.value.details() == "Not Found"


def test_unknown_query_parameters_are_refused(edge: Edge) -> None:
    refusal(requests.post(f"http://{edge.query}/hello/predict?nonsense=1", data=b"{}", timeout=PATIENCE_S), 400, code=3)


def path_fields(service: ServiceDescriptor) -> list[tuple[str, str, str]]:
    """The verb, the path and the field of each part of a path that says something."""
    return [
        (verb, path.replace(f"{{{field}}}", "hello"), field)
        for verb, path in rest_rules(service)
        for field in re.findall(r"{(\w+)}", path)
    ]


@pytest.mark.parametrize("again", ["{}=other", "uid=ada&{}=other", "{}=hello&{}=other", "{}=", "{}"])
def test_what_the_path_says_the_query_cannot_say_again(edge: Edge, again: str) -> None:
    fields = [
        (getattr(edge, port), *each)
        for port, contract in (("query", query), ("admin", management))
        for service in contract.DESCRIPTOR.services_by_name.values()
        for each in path_fields(service)
    ]
    assert {field for *_, field in fields} == {"application"}

    for address, verb, path, field in fields:
        url = f"http://{address}{path}?{again.format(field, field)}"
        message = refusal(requests.request(verb, url, data=b"{}", timeout=5), 400, code=3)
        assert message == f"The path says which application is asked. Leave out the query parameter '{field}'"


@pytest.mark.parametrize("body", ['{"name": ', '{"name": 3}'], ids=["malformed", "of the wrong type"])
def test_json_that_admin_cannot_read_is_refused(edge: Edge, body: str) -> None:
    refusal(requests.post(f"http://{edge.admin}/admin/add_app", data=body, timeout=PATIENCE_S), 400, code=3)


def test_bodies_up_to_the_limit_are_passed_on(edge: Edge) -> None:
    body = b" " * (15 * MIB)

    answer = requests.post(f"http://{edge.query}/hello/predict", data=body, timeout=PATIENCE_S)

    assert answer.json()["bytes"] == len(body)


@pytest.mark.parametrize("port", ["query", "admin"])
@pytest.mark.parametrize("chunked", [False, True], ids=["of declared length", "in chunks"])
def test_a_body_of_100_mib_is_refused_and_harms_nobody(edge: Edge, port: str, chunked: bool) -> None:
    url = f"http://{edge.query}/hello/predict" if port == "query" else f"http://{edge.admin}/admin/add_app"
    parts = [b'{"name": "', *[b"x" * MIB] * 100, b'"}']

    refusal(requests.post(url, data=iter(parts) if chunked else b"".join(parts), timeout=PATIENCE_S), 413, code=8)

    assert requests.get(f"http://{edge.query}/metrics", timeout=PATIENCE_S).ok


def test_native_grpc_passes_with_its_deadline(edge: Edge) -> None:
    with grpc.insecure_channel(edge.query) as channel:
        stub = query_service_pb2_grpc.QueryServiceStub(channel)
        [with_deadline] = stub.Predict(query.PredictRequest(), timeout=PATIENCE_S).predictions
        [without] = stub.Predict(query.PredictRequest()).predictions

    assert 0 < float(with_deadline.output) < PATIENCE_S + 0.1  # a timeout travels rounded up
    assert float(without.output) > 3600


def test_health_is_asked_through_both_ports(edge: Edge) -> None:
    assert is_serving(edge.query, "clipper.v1.QueryService")
    assert is_serving(edge.admin, "clipper.v1.ManagementService")


def test_without_a_service_rest_gets_json_and_grpc_a_status(tmp_path: Path) -> None:
    nobody = ports.address(ports.free_ports(1)[0])
    with envoy(tmp_path, [nobody], nobody) as running:
        with grpc.insecure_channel(running.query) as channel, ThreadPoolExecutor() as pool:
            stub = query_service_pb2_grpc.QueryServiceStub(channel)
            native = pool.submit(stub.Predict, query.PredictRequest(), timeout=PATIENCE_S)
            asked = [
                pool.submit(requests.post, f"http://{running.query}/hello/predict", data=b"{}", timeout=PATIENCE_S),
                pool.submit(requests.get, f"http://{running.admin}/admin/ping", timeout=PATIENCE_S),
            ]
            for response in asked:
                refusal(response.result(), 503, code=14)
            with pytest.raises(grpc.RpcError) as refused:
                native.result()
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_native_request_that_is_too_large_to_be_kept_may_be_sent_again_when_a_service_is_there(
    tmp_path: Path,
) -> None:
    nobody = ports.address(ports.free_ports(1)[0])
    message = query.FeedbackRequest(feedback=[query.FeedbackItem(label="x" * (20 * MIB))])
    with (
        envoy(tmp_path, [nobody], nobody) as running,
        grpc.insecure_channel(running.query) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        query_service_pb2_grpc.QueryServiceStub(channel).Feedback(message, timeout=PATIENCE_S)

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert str(refused.value.details()).endswith("it is too large to be kept. Send it again")


@pytest.fixture(scope="module")
def mortals() -> Iterator[Mortals]:
    """Four services that die of a request."""
    services = Mortals(4)
    with services.living():
        yield services


@pytest.fixture(scope="module")
def mortal_edge(tmp_path_factory: pytest.TempPathFactory, mortals: Mortals) -> Iterator[Edge]:
    """Envoy in front of them."""
    with envoy(tmp_path_factory.mktemp("mortals"), mortals.addresses, mortals.addresses[0]) as running:
        yield running


ORDERS = {
    "x-forwarded-for": "127.0.0.1",
    "x-envoy-max-retries": "20",
    "x-envoy-retry-on": "reset,5xx",
    "x-envoy-retry-grpc-on": "unavailable",
}


@pytest.mark.parametrize("headers", [{}, ORDERS], ids=["as it is", "with orders to send it again"])
@pytest.mark.parametrize(("action", "times"), [("predict", 3), ("update", 1)], ids=["a prediction", "feedback"])
def test_a_request_that_services_die_of_is_not_sent_to_all_of_them(
    mortal_edge: Edge, mortals: Mortals, action: str, times: int, headers: dict[str, str]
) -> None:
    before = mortals.deaths

    url = f"http://{mortal_edge.query}/hello/{action}"
    response = requests.post(url, data=DEADLY, headers=headers, timeout=PATIENCE_S)

    refusal(response, 503, code=14)
    assert [info["reason"] for info in response.json()["details"]] == ["NOT_SERVING"]
    assert mortals.deaths - before == times


def test_a_native_prediction_that_services_die_of_is_not_sent_to_all_of_them(
    mortal_edge: Edge, mortals: Mortals
) -> None:
    before = mortals.deaths

    with grpc.insecure_channel(mortal_edge.query) as channel:
        stub = query_service_pb2_grpc.QueryServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.Predict(query.PredictRequest(application=DEADLY.decode()), timeout=PATIENCE_S)

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert mortals.deaths - before == 3


def test_a_restart_of_the_only_query_service_loses_no_prediction(tmp_path: Path) -> None:
    [port] = ports.free_ports(1)
    address = ports.address(port)
    answers: list[int] = []
    finished = threading.Event()

    def ask(url: str) -> None:
        with requests.Session() as session:
            while not finished.is_set():
                answers.append(session.post(url, data=b"{}", timeout=PATIENCE_S).status_code)

    with envoy(tmp_path, [address], address) as running, ThreadPoolExecutor() as pool:
        with echo_server(port):
            asking = [pool.submit(ask, f"http://{running.query}/hello/predict") for _ in range(4)]
            wait_for_more(answers)
        time.sleep(0.5)  # for as long a service takes to come back
        with echo_server(port):
            wait_for_more(answers)
            finished.set()
            for asker in asking:
                asker.result()

    assert set(answers) == {200}


def wait_for_more(answers: list[int]) -> None:
    """Waits until twenty more answers have come."""
    wanted = len(answers) + 20
    wait_until(lambda: len(answers) >= wanted)

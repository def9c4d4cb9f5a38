"""Inputs as people have them, through the edge: with holes, by name, as files, and told apart from bad ones."""

import base64
import gzip
import io
import itertools
import json
import math
from typing import Any

import grpc
import numpy as np
import pytest
import requests
from clipper.v1 import input_pb2, query_service_pb2, query_service_pb2_grpc

from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.clients import PATIENCE_S
from tests.fixtures.refusals import refusal

SLO_MICROS = 5_000_000
PEOPLE = {"names": ["age", "income"], "ranges": {"age": {"minimum": 0, "maximum": 130}}}
# No input is asked twice, so no cache answers for the model.
new_numbers = itertools.count(1)


def seen_numbers(inputs: Any) -> list[str]:
    return [json.dumps([None if math.isnan(number) else number for number in row]) for row in inputs.tolist()]


def seen_by_name(people: Any) -> list[str]:
    return [json.dumps([type(people).__name__, row]) for row in people.to_dict("records")]


def seen_bytes(inputs: Any) -> list[str]:
    return ["0x" + row.tobytes().hex() for row in inputs]


@pytest.fixture(scope="module")
def applications(cluster: ClipperConnection) -> None:
    """Applications "inputs-..." that answer with what their model has seen."""
    python_deployer.create_endpoint(cluster, "inputs-any", "doubles", seen_numbers, slo_micros=SLO_MICROS, check=False)
    python_deployer.create_endpoint(cluster, "inputs-bytes", "bytes", seen_bytes, slo_micros=SLO_MICROS, check=False)
    options: dict[str, dict[str, Any]] = {
        "inputs-holes": {"missing": "nan"},
        "inputs-four": {"schema": {"shape": (4,)}},
        "inputs-square": {"schema": {"shape": (2, 2), "minimum": 0}},
        "inputs-people": {"schema": PEOPLE},
        "inputs-holey": {"schema": PEOPLE, "missing": "nan"},
    }
    for name, its_options in options.items():
        cluster.register_application(name, "doubles", "default", SLO_MICROS, **its_options)
        cluster.link_model_to_app(name, "inputs-any")
    cluster.register_application("inputs-two-bytes", "bytes", "default", SLO_MICROS, schema={"shape": [2]})
    cluster.link_model_to_app("inputs-two-bytes", "inputs-bytes")
    cluster.register_application("inputs-texts", "strings", "default", SLO_MICROS)


pytestmark = pytest.mark.usefixtures("applications")


def post(cluster: ClipperConnection, application: str, body: bytes | str, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"http://{cluster.get_query_addr()}/{application}/predict"
    return requests.post(url, data=body, headers=named, timeout=PATIENCE_S)


def output(response: requests.Response) -> Any:
    """The output of one prediction that a model made."""
    assert response.ok, response.text
    assert response.json()["default"] is False, response.text
    return response.json()["output"]


def outputs(response: requests.Response) -> list[Any]:
    """Those of a batch."""
    assert response.ok, response.text
    predictions = response.json()["batch_predictions"]
    assert not any(prediction["default"] for prediction in predictions)
    return [prediction["output"] for prediction in predictions]


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


# What is missing


@pytest.mark.parametrize("hole", ["null", "NaN", '"NaN"'])
def test_what_is_missing_is_nan_where_the_application_says_so(cluster: ClipperConnection, hole: str) -> None:
    number = next(new_numbers)
    assert output(post(cluster, "inputs-holes", f'{{"input": [{number}, {hole}], "note": "NaN"}}')) == [number, None]
    batch = f'{{"input_batch": [[{hole}], [{hole}, {number}, {hole}]]}}'
    assert outputs(post(cluster, "inputs-holes", batch)) == [[None], [None, number, None]]


def test_what_pythons_json_writes_of_nan_is_taken(cluster: ClipperConnection) -> None:
    number = next(new_numbers)
    assert output(post(cluster, "inputs-holes", json.dumps({"input": [math.nan, number]}))) == [None, number]


@pytest.mark.parametrize("hole", ["null", "NaN", '"NaN"'])
def test_elsewhere_it_is_refused_with_how_to_have_it_taken(cluster: ClipperConnection, hole: str) -> None:
    response = post(cluster, "inputs-any", f'{{"input": [1, {hole}]}}')
    assert "registered with missing='nan'" in refusal(response, 400, 3, "INVALID_INPUT")


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", '"nan "', "{}", "NaN1", "true"])
def test_what_is_no_number_either_way_is_refused(cluster: ClipperConnection, number: str) -> None:
    refusal(post(cluster, "inputs-holes", f'{{"input": [null, NaN, {number}]}}'), 400, 3, "INVALID_INPUT")


# Schemas


@pytest.mark.parametrize("count", [0, 3, 5])
def test_a_wrong_length_is_refused_with_the_right_one_whatever_way_it_comes(
    cluster: ClipperConnection, count: int
) -> None:
    rows = [[1.0] * 4, [1.0] * count]
    said = f"Input 1 of the batch, counted from 0, has {count} elements, but the application takes 4"
    response = post(cluster, "inputs-four", json.dumps({"input_batch": rows}))
    assert refusal(response, 400, 3, "SCHEMA_MISMATCH") == said

    packed = input_pb2.Inputs(type=input_pb2.INPUT_TYPE_DOUBLES, data=np.ones(4 + count).tobytes(), lengths=[4, count])
    asked = query_service_pb2.PredictRequest(application="inputs-four", inputs=packed)
    with grpc.insecure_channel(cluster.get_query_addr()) as channel:
        stub = query_service_pb2_grpc.QueryServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.Predict(asked, timeout=PATIENCE_S)
    assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, said)


def test_inputs_have_names_in_any_order(cluster: ClipperConnection) -> None:
    number = next(new_numbers)
    assert output(post(cluster, "inputs-people", json.dumps({"input": {"income": number, "age": 40}}))) == [40, number]
    assert output(post(cluster, "inputs-people", json.dumps({"input": [41, number]}))) == [41, number]
    rows = [{"age": 1, "income": number}, {"income": 2, "age": number % 100}]
    answer = post(cluster, "inputs-people", json.dumps({"input_batch": rows}))
    assert outputs(answer) == [[1, number], [number % 100, 2]]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"age": 40}, "The input lacks 'income'"),
        ({"age": None, "income": None}, "The input lacks 'age', 'income'"),
        ({"age": 40, "income": 1, "size": 3}, "The input has 'size', but the application takes age, income"),
        ({"Age": 40, "income": 1}, "The input has 'Age'"),
        ({}, "The input lacks 'age', 'income'"),
        ({"age": 131, "income": 0}, "The input has 131.0 as 'age', which must be from 0 to 130"),
        ([-1, 0], "The input has -1.0 as 'age', which must be from 0 to 130"),
        ([40], "The input has 1 elements, but the application takes 2 (age, income)"),
    ],
)
def test_an_input_that_is_not_as_the_schema_says_is_refused_by_name(
    cluster: ClipperConnection, given: object, says: str
) -> None:
    message = refusal(post(cluster, "inputs-people", json.dumps({"input": given})), 400, 3, "SCHEMA_MISMATCH")
    assert message.startswith(says)


def test_a_name_that_is_missing_is_nan_where_that_is_allowed(cluster: ClipperConnection) -> None:
    number = next(new_numbers)
    assert output(post(cluster, "inputs-holey", json.dumps({"input": {"income": number}}))) == [None, number]
    assert output(post(cluster, "inputs-holey", json.dumps({"input": {"age": None, "income": number}}))) == [
        None,
        number,
    ]
    refusal(post(cluster, "inputs-holey", json.dumps({"input": {"incone": 1}})), 400, 3, "SCHEMA_MISMATCH")


def test_a_shape_may_be_nested_or_not(cluster: ClipperConnection) -> None:
    number = next(new_numbers)
    flat = [0, 1, 2, number]
    for given in (flat, [flat[:2], flat[2:]]):
        assert output(post(cluster, "inputs-square", json.dumps({"input": given}))) == flat
    for bad in ([[0, 1], [2]], [[0, 1, 2, 3]], [[[0], [1]], [[2], [3]]]):
        assert not post(cluster, "inputs-square", json.dumps({"input": bad})).ok
    below = refusal(post(cluster, "inputs-square", '{"input": [0, 0, -1, 0]}'), 400, 3, "SCHEMA_MISMATCH")
    assert below == "The input has -1.0 as element 2, which must be at least 0"


# Names of models


def test_a_model_of_named_inputs_gets_a_frame_whatever_way_they_come(cluster: ClipperConnection) -> None:
    name = "inputs-by-name"
    python_deployer.create_endpoint(
        cluster, name, "doubles", seen_by_name, slo_micros=SLO_MICROS, input_names=["age", "income"],
        sample_input={"income": 1, "age": 2},
    )  # fmt: skip
    number = next(new_numbers)
    seen = ["DataFrame", {"age": 40.0, "income": number}]
    assert output(post(cluster, name, json.dumps({"input": {"income": number, "age": 40}}))) == seen
    assert output(post(cluster, name, json.dumps({"input": [40, number]}))) == seen
    rows = [[1, number], {"income": number, "age": 2}]
    assert outputs(post(cluster, name, json.dumps({"input_batch": rows}))) == [
        ["DataFrame", {"age": age, "income": number}] for age in (1, 2)
    ]
    data = np.array([40.0, number + 0.5]).tobytes()
    packed = input_pb2.Inputs(type=input_pb2.INPUT_TYPE_DOUBLES, data=data, lengths=[2])
    with grpc.insecure_channel(cluster.get_query_addr()) as channel:
        stub = query_service_pb2_grpc.QueryServiceStub(channel)
        asked = query_service_pb2.PredictRequest(application=name, inputs=packed)
        (prediction,) = stub.Predict(asked, timeout=PATIENCE_S).predictions
    assert json.loads(prediction.output) == ["DataFrame", {"age": 40.0, "income": number + 0.5}]

    described = cluster.get_model_info(name, 1)
    assert described is not None
    assert described["input_names"] == ["age", "income"]
    _check_that_names_tell_it_from_others(cluster, name)


def _check_that_names_tell_it_from_others(cluster: ClipperConnection, name: str) -> None:
    """Checks that a deployed model of `seen_by_name` is the same with its names only, and linked with them only."""

    def deployed_again(names: list[str], **options: Any) -> str:
        return python_deployer.deploy_python_closure(
            cluster, name, 1, "doubles", seen_by_name, input_names=names, **options
        )

    assert deployed_again(["age", "income"], exist_ok=True) == "1"
    with pytest.raises(ClipperException, match=r"with input_names \['age', 'income'\] instead of .*, and other code"):
        deployed_again(["income", "age"], exist_ok=True)
    with pytest.raises(ClipperException, match=r"the names \(age, income\).*\(income, age\), are not compatible"):
        deployed_again(["income", "age"], replace=True)

    options: dict[str, Any] = {"schema": {"names": ["income", "age"]}}
    cluster.register_application("inputs-misnamed", "doubles", "default", SLO_MICROS, **options)
    with pytest.raises(ClipperException, match=r"incompatible input_names \(age, income\).*\(income, age\)"):
        cluster.link_model_to_app("inputs-misnamed", name)
    cluster.register_application("inputs-unnamed", "doubles", "default", SLO_MICROS)
    cluster.link_model_to_app("inputs-unnamed", name)
    batch = json.dumps({"input_batch": [[1, 2], [1], [3, 4]]})
    predictions = post(cluster, "inputs-unnamed", batch).json()["batch_predictions"]
    assert [prediction["default"] for prediction in predictions] == [False, True, False]
    assert "takes inputs of 2 numbers (age, income), not of 1" in predictions[1]["default_explanation"]


def test_feedback_on_an_input_is_bound_by_the_schema_too(cluster: ClipperConnection) -> None:
    url = f"http://{cluster.get_query_addr()}/inputs-people/update"
    response = requests.post(url, json={"input": {"age": 1}, "label": "x"}, timeout=PATIENCE_S)
    assert "lacks 'income'" in refusal(response, 400, 3, "SCHEMA_MISMATCH")


def test_a_schema_is_shown_as_it_was_told_and_the_same_again_is_known_as_that(cluster: ClipperConnection) -> None:
    told = cluster.get_app_info("inputs-square")
    assert told is not None
    assert (told["schema"], told["missing"]) == ({"shape": [2, 2], "minimum": 0}, "error")
    with pytest.raises(ClipperException, match="registered just like this"):
        cluster.register_application(
            "inputs-square", "doubles", "default", SLO_MICROS, schema={"shape": (2, 2), "minimum": 0}
        )


@pytest.mark.parametrize(
    ("input_type", "options", "says"),
    [
        ("doubles", {"schema": {"length": 4}}, "A schema has no 'length'"),
        ("doubles", {"schema": {"shape": [4_000_000_000, 4_000_000_000]}}, "no request can hold"),
        ("doubles", {"schema": {"names": ["a", "a"]}}, "twice"),
        ("doubles", {"schema": {"names": ["a\0"]}}, "printable"),
        ("doubles", {"schema": {"minimum": 2, "maximum": 1}}, "where nothing lies"),
        ("doubles", {"schema": {"minimum": "NaN"}}, "no finite number"),
        ("strings", {"schema": {"shape": [4]}}, "Strings have no schema"),
        ("integers", {"missing": "nan"}, "no NaN among integers"),
        ("doubles", {"missing": "zero"}, "must be one of 'error', 'nan'"),
    ],
)
def test_what_cannot_be_is_not_registered(
    cluster: ClipperConnection, input_type: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ClipperException, match=says):
        cluster.register_application("inputs-bad", input_type, "default", SLO_MICROS, **options)


def test_a_key_that_a_schema_does_not_have_is_refused_by_the_admin_rest(cluster: ClipperConnection) -> None:
    body = {"name": "inputs-bad", "input_type": "doubles", "default_output": "", "latency_slo_micros": 1000}
    url = f"http://{cluster.cm.get_admin_addr()}/admin/add_app"
    response = requests.post(url, json={**body, "schema": {"shpae": [4]}}, timeout=PATIENCE_S)
    assert "The schema says nothing of inputs" in refusal(response, 400, 3, "INVALID_INPUT")


# Bytes


@pytest.mark.parametrize(
    "write",
    [base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes, lambda data: base64.b64encode(data).rstrip(b"=")],
    ids=["standard", "url-safe", "wrapped", "unpadded"],
)
@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_bytes_come_in_all_kinds_of_base64(cluster: ClipperConnection, write: Any, prefix: str) -> None:
    data = b"\xfb\xff" * 50 + str(next(new_numbers)).encode()
    text = prefix + write(data).decode()
    assert output(post(cluster, "inputs-bytes", json.dumps({"input": text}))) == "0x" + data.hex()


@pytest.mark.parametrize("content_type", ["application/octet-stream", "image/png", "IMAGE/jpeg; quality=1"])
def test_bytes_are_a_body_as_they_are(cluster: ClipperConnection, content_type: str) -> None:
    data = bytes(range(256)) + str(next(new_numbers)).encode()
    assert output(post(cluster, "inputs-bytes", data, content_type=content_type)) == "0x" + data.hex()
    compressed = post(cluster, "inputs-bytes", gzip.compress(data), content_type=content_type, content_encoding="gzip")
    assert output(compressed) == "0x" + data.hex()


def test_a_body_of_bytes_is_bound_by_the_schema_and_not_empty(cluster: ClipperConnection) -> None:
    assert output(post(cluster, "inputs-two-bytes", b"ab", content_type="image/png")) == "0x6162"
    three = post(cluster, "inputs-two-bytes", b"abc", content_type="image/png")
    assert refusal(three, 400, 3, "SCHEMA_MISMATCH") == "The input has 3 elements, but the application takes 2"
    empty = post(cluster, "inputs-bytes", b"", content_type="image/png")
    assert "The body is empty" in refusal(empty, 400, 3, "INVALID_INPUT")


def test_what_json_says_beside_the_input_is_said_in_the_query(cluster: ClipperConnection) -> None:
    url = f"http://{cluster.get_query_addr()}/inputs-bytes/predict"
    data = str(next(new_numbers)).encode()
    headers = {"content-type": "application/octet-stream"}
    asked = {"explain": "true", "uid": "ada", "version": "1"}
    assert "timing" in requests.post(url, data=data, headers=headers, params=asked, timeout=PATIENCE_S).json()
    unknown = requests.post(url, data=data, headers=headers, params={"version": "7"}, timeout=PATIENCE_S)
    assert "Requested version: 7 does not exist" in refusal(unknown, 400, 3, "INVALID_INPUT")
    in_json = requests.post(url, json={"input": "AQI="}, params={"explain": "true"}, timeout=PATIENCE_S)
    assert "timing" in in_json.json()


# Numbers in files


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "f2", "i1", "<u2", ">i4", "<i8", "u8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_are_a_file_of_numpys(cluster: ClipperConnection, dtype: str, order: Any) -> None:
    rows = np.array([[1, 2, 3], [4, 5, next(new_numbers) % 100]], dtype=dtype, order=order)
    assert outputs(post(cluster, "inputs-any", npy(rows), content_type="application/x-npy")) == rows.tolist()
    assert output(post(cluster, "inputs-any", npy(rows[1]), content_type="application/x-npy")) == rows[1].tolist()


def test_a_file_of_the_schemas_shape_is_one_input(cluster: ClipperConnection) -> None:
    squares = np.arange(8.0).reshape(2, 2, 2) + next(new_numbers)
    flat = squares.reshape(2, 4).tolist()
    assert output(post(cluster, "inputs-square", npy(squares[0]), content_type="application/x-npy")) == flat[0]
    assert outputs(post(cluster, "inputs-square", npy(squares), content_type="application/x-npy")) == flat
    for shape in ((4,), (2, 3), (2, 2, 2, 2)):
        wrong = post(cluster, "inputs-square", npy(np.zeros(shape)), content_type="application/x-npy")
        refusal(wrong, 400, 3, "SCHEMA_MISMATCH")


# Kinds of bodies and answers


@pytest.mark.parametrize(
    ("application", "content_type", "accepted"),
    [
        ("inputs-any", "application/octet-stream", "application/json or application/x-npy"),
        ("inputs-any", "image/png", "application/x-npy"),
        ("inputs-any", "text/csv", "application/x-npy"),
        ("inputs-bytes", "application/x-npy", "application/json, application/octet-stream or image/*"),
        ("inputs-bytes", "multipart/form-data; boundary=x", "image/*"),
        ("inputs-texts", "application/octet-stream", "takes strings as application/json, but"),
    ],
)
def test_a_body_of_another_kind_is_refused_with_those_that_are_taken(
    cluster: ClipperConnection, application: str, content_type: str, accepted: str
) -> None:
    response = post(cluster, application, b"abc", content_type=content_type)
    assert accepted in refusal(response, 415, 3, "INVALID_INPUT")


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "Application/JSON", "text/plain", "application/x-www-form-urlencoded",
     "application/vnd.api+json"],
)  # fmt: skip
def test_json_is_json_whatever_it_is_called(cluster: ClipperConnection, content_type: str) -> None:
    number = next(new_numbers)
    assert output(post(cluster, "inputs-any", json.dumps({"input": [number]}), content_type=content_type)) == [number]


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "text/plain;q=0.5, application/*", "application/json, text/plain, */*"]
)
def test_an_answer_is_json_unless_something_else_is_liked_better(cluster: ClipperConnection, accept: str) -> None:
    response = post(cluster, "inputs-any", json.dumps({"input": [next(new_numbers)]}), accept=accept)
    assert response.headers["content-type"] == "application/json"
    assert output(response)


@pytest.mark.parametrize("accept", ["text/plain", "application/octet-stream", "text/*, application/json;q=0.1"])
def test_an_answer_may_be_the_output_alone(cluster: ClipperConnection, accept: str) -> None:
    number = next(new_numbers)
    response = post(cluster, "inputs-any", json.dumps({"input": [number]}), accept=accept)
    assert response.headers["content-type"] == accept.partition(",")[0].replace("*", "plain")
    assert response.text == f"[{number}.0]"
    assert response.headers["clipper-default"] == "false"
    assert response.headers["clipper-query-id"].isdecimal()


def test_a_default_output_alone_says_that_it_is_one(cluster: ClipperConnection) -> None:
    response = post(cluster, "inputs-texts", '{"input": "a"}', accept="text/plain")
    assert (response.text, response.headers["clipper-default"]) == ("default", "true")


@pytest.mark.parametrize(
    ("accept", "body"),
    [
        ("image/png", '{"input": [1]}'),
        ("application/json;q=0", '{"input": [1]}'),
        ("text/plain", '{"input_batch": [[1], [2]]}'),
        ("text/plain;q=x", '{"input": [1]}'),
    ],
)
def test_an_answer_that_cannot_be_had_is_refused_with_what_can(
    cluster: ClipperConnection, accept: str, body: str
) -> None:
    message = refusal(post(cluster, "inputs-any", body, accept=accept), 406, 3, "INVALID_INPUT")
    assert "application/json" in message

"""Bad predictions over REST: each is refused clearly, and nothing behind the edge takes harm."""

import gzip
from typing import Any

import pytest
import requests

from clipper_admin import ClipperConnection
from tests.fixtures.refusals import GOOD, MIB, invalid, missing, not_allowed, raw, refusal

pytestmark = pytest.mark.usefixtures("nothing_takes_harm")


def predict(cluster: ClipperConnection, application: str, body: Any, **kwargs: Any) -> requests.Response:
    return requests.post(f"http://{cluster.get_query_addr()}/{application}/predict", data=body, timeout=60, **kwargs)


NOT_A_PREDICTION = {
    "nothing": (b"", "zero-length, empty document"),
    "cut off": (b'{"input": [1.0', "unexpected end of data"),
    "followed by more": (b'{"input": [1.0]} {"input": [2.0]}', "unexpected content after document"),
    "a number": (b"3", "Can only get key-value pair from an object"),
    "a string": (b'"input"', "Can only get key-value pair from an object"),
    "an array": (b"[1.0]", "Can only get key-value pair from an object"),
    "null": (b"null", "Can only get key-value pair from an object"),
    "deeply nested": (b"[" * 50_000, "depth limit exceeded"),
    "not UTF-8": (b'{"input": [1.0], "version": "\xff"}', "not valid UTF-8"),
    "compressed": (gzip.compress(GOOD), "not valid UTF-8"),
    "without an input": (b'{"inputs": [1.0]}', "does not have required keys input or input_batch"),
    "with a batch that is none": (b'{"input_batch": 3}', "Input batch of type Number is not of type array"),
    "with a version of the wrong type": (b'{"input": [1.0], "version": 1}', "JSON key version expected type String"),
    "with a context of the wrong type": (b'{"input": [1.0], "uid": []}', "JSON key uid expected type String"),
    "that explains in a word": (b'{"input": [1.0], "explain": "yes"}', "JSON key explain expected type Bool"),
    "that forbids in a number": (
        b'{"input": [1.0], "forbid_default": 1}',
        "JSON key forbid_default expected type Bool",
    ),
    "for an unknown version": (
        b'{"input": [1.0], "version": "7"}',
        "Requested version: 7 does not exist for model: bad-doubles",
    ),
}


@pytest.mark.parametrize(("body", "message"), NOT_A_PREDICTION.values(), ids=NOT_A_PREDICTION)
def test_a_body_that_asks_for_no_prediction(cluster: ClipperConnection, body: bytes, message: str) -> None:
    assert message in invalid(predict(cluster, "bad-doubles", body))


BAD_INPUTS = {
    "a string": ("doubles", '"1.0"', "PredictionData of type String is not of type array of doubles"),
    "a number": ("doubles", "1.0", "PredictionData of type Number is not of type array of doubles"),
    "null": ("doubles", "null", "PredictionData of type Null is not of type array of doubles"),
    "an object": ("doubles", '{"0": 1.0}', "PredictionData of type Object is not of type array of doubles"),
    "a nested array": ("doubles", "[[1.0]]", "Array input of type Array is not of type double"),
    "a ragged array": ("doubles", "[1.0, [2.0, 3.0]]", "Array input of type Array is not of type double"),
    "an array with a string": ("doubles", '[1.0, "2.0"]', "Array input of type String is not of type double"),
    "an array with a boolean": ("doubles", "[true]", "Array input of type Bool is not of type double"),
    "an array with null": ("doubles", "[1.0, null]", "Array input of type Null is not of type double"),
    "not a number": ("doubles", "[NaN]", "JSON parse error"),
    "infinity": ("doubles", "[Infinity]", "JSON parse error"),
    "minus infinity": ("doubles", "[-Infinity]", "JSON parse error"),
    "a double beyond doubles": ("doubles", "[1e999]", "number is infinity when parsed as double"),
    "an integer beyond doubles": ("doubles", f"[1{'0' * 400}]", "number is infinity when parsed as double"),
    "a double beyond floats": ("floats", "[3.5e38]", "a number outside of the range of floats"),
    "an integer beyond floats": ("floats", f"[1{'0' * 40}]", "a number outside of the range of floats"),
    "an integer beyond 32 bits": ("integers", "[2147483648]", "an integer outside of 32 bits"),
    "an integer below 32 bits": ("integers", "[-2147483649]", "an integer outside of 32 bits"),
    "an integer beyond 63 bits": ("integers", "[9223372036854775808]", "an integer outside of 32 bits"),
    "an integer beyond 64 bits": ("integers", "[18446744073709551616]", "is not of type int"),
    "a double for an integer": ("integers", "[1.0]", "Array input of type Number is not of type int"),
    "base64 of illegal characters": ("bytes", '"!!!!"', "base64-encoded string is invalid"),
    "base64 of an impossible length": ("bytes", '"YWJjZ"', "base64-encoded string is invalid"),
    "base64 with too little padding": ("bytes", '"YQ="', "base64-encoded string is invalid"),
    "an array for bytes": ("bytes", "[97]", "PredictionData of type Array is not of type base64-encoded string"),
    "an array for a string": ("strings", '["text"]', "PredictionData of type Array is not of type string"),
    "half a surrogate pair": ("strings", r'"\ud800"', "no low surrogate in string"),
}


@pytest.mark.parametrize("batch", [False, True], ids=["alone", "in a batch"])
@pytest.mark.parametrize(("input_type", "value", "message"), BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_an_input_that_the_application_does_not_take(
    cluster: ClipperConnection, input_type: str, value: str, message: str, batch: bool
) -> None:
    body = f'{{"input_batch": [{value}]}}' if batch else f'{{"input": {value}}}'

    assert message in invalid(predict(cluster, f"bad-{input_type}", body.encode()))


def test_a_string_that_is_not_utf_8(cluster: ClipperConnection) -> None:
    assert "not valid UTF-8" in invalid(predict(cluster, "bad-strings", b'{"input": "\xc3\x28"}'))


def test_a_compressed_body_that_says_so_is_read(cluster: ClipperConnection) -> None:
    answer = predict(cluster, "bad-doubles", gzip.compress(GOOD), headers={"content-encoding": "gzip"})

    assert answer.json()["output"] == 3.0


@pytest.mark.parametrize(
    "body", [GOOD, gzip.compress(GOOD)[:-14], gzip.compress(GOOD)[5:]], ids=["not compressed", "cut off", "damaged"]
)
def test_what_says_that_it_is_compressed_and_is_not(cluster: ClipperConnection, body: bytes) -> None:
    invalid(predict(cluster, "bad-doubles", body, headers={"content-encoding": "gzip"}))


@pytest.mark.parametrize("chunked", [False, True], ids=["of declared length", "in chunks"])
def test_a_body_of_100_mib(cluster: ClipperConnection, chunked: bool) -> None:
    parts = [b'{"input": [', *[b"1.0," * (MIB // 4)] * 100, b"1.0]}"]

    refused = predict(cluster, "bad-doubles", iter(parts) if chunked else b"".join(parts))

    refusal(refused, 413, 8, "TOO_LARGE")


def test_an_unknown_application(cluster: ClipperConnection) -> None:
    assert missing(predict(cluster, "nobody", GOOD)) == "No application with name 'nobody' exists."


def test_an_unlinked_application_is_no_error(cluster: ClipperConnection) -> None:
    answer = predict(cluster, "bad-unlinked", GOOD)

    assert answer.status_code == 200
    assert answer.json() == {
        "query_id": answer.json()["query_id"],
        "output": "default",
        "default": True,
        "default_explanation": "No connected models found for query",
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("POST", "/bad-doubles"),
        ("POST", "/bad-doubles/forget"),
        ("POST", "/bad-doubles/predict/more"),
        ("GET", "/bad-doubles"),
        ("GET", "/bad-doubles/forget"),
        ("GET", "/bad-doubles/predict/more"),
        ("GET", "/metrics/more"),
        ("POST", "/clipper.v1.QueryService/Predict"),
        ("POST", "/bad-doubles%2Fpredict"),
        ("POST", "/bad%2Fdoubles/predict"),
        ("POST", "/%zz/predict"),
        ("POST", "/%00/predict"),
        ("POST", "/%2e%2e/predict"),
        ("POST", "//predict"),
        ("POST", f"/{'a' * 8_000}/predict"),
    ],
)
def test_an_unknown_path_is_not_found(cluster: ClipperConnection, method: str, path: str) -> None:
    missing(raw(cluster.get_query_addr(), method, path, None if method == "GET" else GOOD))


@pytest.mark.parametrize("action", ["predict", "predict/", "predict?debug=1", "update", "update/"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_predictions_and_feedback_are_posted(cluster: ClipperConnection, method: str, action: str) -> None:
    refused = raw(cluster.get_query_addr(), method, f"/bad-doubles/{action}", GOOD)

    assert not_allowed(refused, "POST") == "Only POST is allowed here"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_metrics_are_got(cluster: ClipperConnection, method: str) -> None:
    refused = raw(cluster.get_query_addr(), method, "/metrics", GOOD)

    assert not_allowed(refused, "GET") == "Only GET is allowed here"


@pytest.mark.parametrize(("path", "allowed"), [("/bad-doubles/predict", "POST"), ("/metrics", "GET")])
def test_head_is_told_what_is_allowed(cluster: ClipperConnection, path: str, allowed: str) -> None:
    refused = raw(cluster.get_query_addr(), "HEAD", path, None)

    assert (refused.status_code, refused.headers["allow"], refused.content) == (405, allowed, b"")


def test_a_name_with_escapes_is_the_name_that_it_stands_for(cluster: ClipperConnection) -> None:
    assert raw(cluster.get_query_addr(), "POST", "/b%61d-doubles/predict", GOOD).json()["output"] == 3.0
    invalid(raw(cluster.get_query_addr(), "POST", "/%ff%fe/predict", GOOD))


def test_a_path_that_never_ends(cluster: ClipperConnection) -> None:
    refusal(raw(cluster.get_query_addr(), "POST", f"/{'a' * 100_000}/predict", GOOD), 431, 3, "INVALID_INPUT")


def test_query_parameters(cluster: ClipperConnection) -> None:
    assert "debug" in invalid(predict(cluster, "bad-doubles", GOOD, params={"debug": "1"}))
    other = {"application": "bad-strings"}
    assert "The path says which" in invalid(predict(cluster, "bad-doubles", GOOD, params=other))

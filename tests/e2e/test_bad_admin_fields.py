"""Each field of each admin request with whatever JSON can put there: answered, or refused with what is wrong."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from clipper.v1 import management_service_pb2
from google.api import annotations_pb2

from clipper_admin import ClipperConnection

pytestmark = pytest.mark.usefixtures("nothing_takes_harm")

# What is there is asked for, and what is not is changed.
_GOOD: dict[str, object] = {
    "name": "matrix", "app_name": "bad-doubles", "model_name": "matrix", "model_version": "1",
    "model_names": ["matrix"], "input_type": "doubles", "default_output": "0", "latency_slo_micros": 1_000,
    "labels": [], "container_name": "image", "model_data_path": "path", "batch_size": -1, "verbose": True,
    "replica_id": 0, "uid": 0, "context": "",
}  # fmt: skip
_LONG = "x" * 100_000
_VALUES = [
    "null", "true", "-1", "1.5", "9223372036854775808", "1e400", "1" * 5_000, "NaN", '"NaN"', '""', '"x"', r'"\u0000"',
    f'"{_LONG}"', "[]", "[null]", "[1]", "[[]]", '[{"a": 1}]', f'["{_LONG}"]', json.dumps(["x"] * 10_000), "{}",
    '{"a": null}', '{"a": -1}', '{"a": []}', '{"a": {}}', '{"a": {"value": 1}}', '{"a": {"a": {"a": []}}}',
    f'{{"{_LONG}": 1}}',
]  # fmt: skip
_METHODS = {
    method.GetOptions().Extensions[annotations_pb2.http].post: method.input_type
    for method in management_service_pb2.DESCRIPTOR.services_by_name["ManagementService"].methods
    if method.GetOptions().Extensions[annotations_pb2.http].post
}
_OF_AN_EXCEPTION = re.compile(r"\w(Error|Exception)\b|Traceback|class '|unexpected error")
# By what is added: how it is deleted again, and the keys that name it.
_ADDED = {
    "/admin/add_app": ("/admin/delete_app", ["name"]),
    "/admin/add_model": ("/admin/delete_versioned_model", ["model_name", "model_version"]),
}


def _bodies(kind: Any) -> Iterator[tuple[str, str]]:
    """A name and a body for each field and each value."""
    for field in kind.fields:
        # A policy that takes parameters, so that they are looked at.
        good = {"selection_policy": "exp3"} if field.name == "policy_parameters" else {}
        good |= {each.name: _GOOD[each.name] for each in kind.fields if each.name in _GOOD and each is not field}
        others = "".join(f"{json.dumps(key)}: {json.dumps(value)}, " for key, value in good.items())
        for value in _VALUES:
            yield f"{field.name} as {value[:40]}", f'{{{others}"{field.name}": {value}}}'


@pytest.fixture(scope="module")
def post(cluster: ClipperConnection) -> Iterator[Callable[[str, str], requests.Response]]:
    """Posts bodies to admin paths, on one connection."""
    with requests.Session() as session:
        address = f"http://{cluster.cm.get_admin_addr()}"
        yield lambda path, body: session.post(f"{address}{path}", data=body.encode(), timeout=60)


def _fault(answer: requests.Response) -> str:
    """What is wrong with an answer; nothing when it is one that a caller can use."""
    if answer.status_code == 200:
        return ""
    if answer.status_code not in (400, 404, 409):
        return f"{answer.status_code}: {answer.text}"
    body = answer.json()
    if [info["domain"] for info in body["details"]] != ["clipper"] or _OF_AN_EXCEPTION.search(body["message"]):
        return answer.text
    return "" if body["message"] else "no message"


@pytest.mark.parametrize(("path", "kind"), _METHODS.items(), ids=[path.rpartition("/")[2] for path in _METHODS])
def test_no_value_of_a_field_is_the_services_fault(
    post: Callable[[str, str], requests.Response], path: str, kind: Any
) -> None:
    faults = {}
    for name, body in _bodies(kind):
        answer = post(path, body)
        if fault := _fault(answer):
            faults[name] = fault[:300]
        if answer.ok and path in _ADDED:
            delete, keys = _ADDED[path]
            added = json.loads(body)
            assert post(delete, json.dumps({key: added[key] for key in keys})).ok
    assert faults == {}

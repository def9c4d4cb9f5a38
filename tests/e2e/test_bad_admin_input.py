"""Bad admin requests: each is refused clearly, registers nothing and breaks nothing."""

import gzip
import json
from typing import Any

import pytest
import requests

from clipper_admin import ClipperConnection
from tests.fixtures.refusals import MIB, invalid, missing, not_allowed, raw, refusal

pytestmark = pytest.mark.usefixtures("nothing_takes_harm")


APPLICATION = {"name": "bad-new", "input_type": "doubles", "default_output": "0", "latency_slo_micros": 1_000}
EXP3 = APPLICATION | {"selection_policy": "exp3"}
MODEL = {
    "model_name": "bad-new", "model_version": "1", "labels": [], "input_type": "doubles",
    "container_name": "image", "model_data_path": "path", "batch_size": -1,
}  # fmt: skip
LINK = {"app_name": "bad-doubles", "model_names": ["bad-doubles"]}


def admin(cluster: ClipperConnection, operation: str, body: Any) -> requests.Response:
    data = body if isinstance(body, bytes) else json.dumps(body)
    return requests.post(f"http://{cluster.cm.get_admin_addr()}/admin/{operation}", data=data, timeout=60)


ADMIN_INVALID = {
    "an empty body": ("add_app", b"", "JSON object does not have required key: name"),
    "half a body": ("add_app", b'{"name": ', "nexpected end of string"),
    "a body that is no object": ("add_app", b"[]", "Root element must be a message"),
    "a scalar body": ("add_app", b"3", "Root element must be a message"),
    "a body that is not UTF-8": ("add_app", b'{"name": "\xff"}', "UTF-8"),
    "a compressed body": ("add_app", gzip.compress(json.dumps(APPLICATION).encode()), "UTF-8"),
    "no default output": (
        "add_app",
        {key: value for key, value in APPLICATION.items() if key != "default_output"},
        "JSON object does not have required key: default_output",
    ),
    "no version": ("set_model_version", {"model_name": "bad-doubles"}, "required key: model_version"),
    "no verbosity": ("get_all_models", {}, "required key: verbose"),
    "no links": ("add_model_links", {"app_name": "bad-doubles"}, "Please provide the name of the model"),
    "a name that is a number": ("add_app", APPLICATION | {"name": 3}, "name: invalid value 3"),
    "a name that is null": ("add_app", APPLICATION | {"name": None}, "required key: name"),
    "no name": ("add_app", APPLICATION | {"name": ""}, "Invalid application name supplied: ''"),
    "a name with a slash": ("add_app", APPLICATION | {"name": "a/b"}, "Invalid application name supplied: 'a/b'"),
    "a name with a blank": ("add_app", APPLICATION | {"name": "a b"}, "Invalid application name supplied: 'a b'"),
    "a name with an umlaut": ("add_app", APPLICATION | {"name": "ä"}, "Invalid application name supplied: 'ä'"),
    "a name that begins with a dash": ("add_app", APPLICATION | {"name": "-a"}, "Invalid application name"),
    "a name of 256 letters": ("add_app", APPLICATION | {"name": "a" * 256}, "Invalid application name"),
    "a name with NUL": ("add_app", APPLICATION | {"name": "a\0b"}, "Invalid application name"),
    "an unknown type": ("add_app", APPLICATION | {"input_type": "tensors"}, "Invalid input type 'tensors'"),
    "an objective of zero": ("add_app", APPLICATION | {"latency_slo_micros": 0}, "must be positive, but it is 0"),
    "a negative objective": ("add_app", APPLICATION | {"latency_slo_micros": -1}, "must be positive, but it is -1"),
    "half an objective": ("add_app", APPLICATION | {"latency_slo_micros": 1.5}, "invalid value 1.5"),
    "an objective beyond 64 bits": ("add_app", APPLICATION | {"latency_slo_micros": 1 << 63}, "latency_slo_micros"),
    "an unknown priority": ("add_app", APPLICATION | {"priority": "urgent"}, "Invalid priority 'urgent'"),
    "a priority that is a number": ("add_app", APPLICATION | {"priority": 1}, "priority: invalid value 1"),
    "a share of zero": ("add_app", APPLICATION | {"share": 0}, "must be between 0.001 and 1000, but it is 0.0"),
    "a negative share": ("add_app", APPLICATION | {"share": -1.5}, "The share must be between 0.001 and 1000"),
    "an infinite share": ("add_app", APPLICATION | {"share": "Infinity"}, "The share must be between 0.001 and 1000"),
    "a share that is no number": ("add_app", APPLICATION | {"share": "NaN"}, "share must be between 0.001 and 1000"),
    "a cache that is a number": ("add_app", APPLICATION | {"use_cache": 1}, "use_cache: invalid value 1"),
    "a negative time to live": ("add_app", APPLICATION | {"cache_ttl_micros": -1}, "must not be negative"),
    "an unknown selection policy": (
        "add_app", APPLICATION | {"selection_policy": "best"}, "Invalid selection policy 'best'"
    ),
    "an empty selection policy": ("add_app", APPLICATION | {"selection_policy": ""}, "Invalid selection policy ''"),
    "a selection policy that is a file": (
        "add_app", APPLICATION | {"selection_policy": "../policies.py:Mine"}, "Invalid selection policy '../pol"
    ),
    "a selection policy that is not installed": (
        "add_app", APPLICATION | {"selection_policy": "mine"}, "name of an installed entry point of the group"
    ),
    "a module that would end who imports it": (
        "add_app", APPLICATION | {"selection_policy": "unittest.__main__:Foo"},
        "The selection policy 'unittest.__main__:Foo' is not allowed. A class may be named by its path if "
        "CLIPPER_POLICY_PREFIXES, a setting of the management and the query services, lists its module"
    ),
    "an unknown parameter": ("add_app", EXP3 | {"policy_parameters": {"speed": 1}}, "Unknown parameter 'speed'"),
    "a parameter for no policy": (
        "add_app", APPLICATION | {"policy_parameters": {"eta": 1}}, "Unknown parameter 'eta' of the selection"
    ),
    "a negative parameter": ("add_app", EXP3 | {"policy_parameters": {"eta": -1}}, "Invalid value -1.0 of the"),
    "an infinite parameter": ("add_app", EXP3 | {"policy_parameters": {"eta": "Infinity"}}, "must be a finite number"),
    "a parameter that is no number": ("add_app", EXP3 | {"policy_parameters": {"eta": "NaN"}}, "must be a finite"),
    "a parameter that is text": ("add_app", EXP3 | {"policy_parameters": {"eta": "fast"}}, "policy_parameters"),
    "parameters that are a number": ("add_app", EXP3 | {"policy_parameters": 1}, "policy_parameters"),
    "parameters that are a list": ("add_app", EXP3 | {"policy_parameters": [1]}, "policy_parameters"),
    "a threshold above 1": ("add_app", APPLICATION | {"confidence_threshold": 1.5}, "must be between 0 and 1"),
    "a negative threshold": ("add_app", APPLICATION | {"confidence_threshold": -0.5}, "must be between 0 and 1"),
    "an unknown loss": ("add_app", APPLICATION | {"loss": "hinge"}, "Invalid loss 'hinge'"),
    "a loss scale of zero": ("add_app", APPLICATION | {"loss_scale": 0}, "loss scale must be positive"),
    "an infinite loss scale": ("add_app", APPLICATION | {"loss_scale": "Infinity"}, "loss scale must be positive"),
    "no time for feedback": ("add_app", APPLICATION | {"feedback_window_s": 0}, "The feedback window must be between"),
    "half a second for feedback": ("add_app", APPLICATION | {"feedback_window_s": 0.5}, "invalid value 0.5"),
    "a context for ever": ("add_app", APPLICATION | {"context_ttl_s": 1 << 40}, "time to live of a context must be"),
    "an unknown combination": ("add_app", APPLICATION | {"combine": "median"}, "Invalid combination 'median'"),
    "no context": ("get_selection_state", {"app_name": "bad-doubles"}, "required key: context"),
    "no context to forget": ("delete_selection_state", {"app_name": "bad-doubles"}, "required key: context"),
    "no events": ("get_selection_events", {"app_name": "bad-doubles", "count": 0}, "must be between 1 and 1000"),
    "a million events": (
        "get_selection_events", {"app_name": "bad-doubles", "count": 1_000_000}, "must be between 1 and 1000"
    ),
    "a page after nothing": ("get_selection_events", {"app_name": "bad-doubles", "after": "x"}, "Invalid cursor 'x'"),
    "an unknown policy": ("add_model", MODEL | {"batching_policy": "clever"}, "Invalid batching policy 'clever'"),
    "batches of no fixed size": ("add_model", MODEL | {"batching_policy": "fixed"}, "needs a positive batch size"),
    "a negative batch delay": ("add_model", MODEL | {"batch_delay_micros": -1}, "The batch delay must not be negative"),
    "a model name with a colon": ("add_model", MODEL | {"model_name": "a:b"}, "Invalid model name supplied: a:b."),
    "a model name with a path": ("add_model", MODEL | {"model_name": "../a"}, "Invalid model name supplied"),
    "a version with a comma": ("add_model", MODEL | {"model_version": "1,2"}, "Invalid model version supplied: 1,2."),
    "a version that is a number": ("add_model", MODEL | {"model_version": 1}, "model_version: invalid value 1"),
    "a label with a comma": ("add_model", MODEL | {"labels": ["a,b"]}, "Invalid label supplied: a,b."),
    "a batch size of zero": ("add_model", MODEL | {"batch_size": 0}, "The batch size must be positive"),
    "a batch size below -1": ("add_model", MODEL | {"batch_size": -2}, "The batch size must be positive"),
    "a batch size beyond 32 bits": ("add_model", MODEL | {"batch_size": 1 << 40}, "batch_size: invalid value"),
    "two links": ("add_model_links", LINK | {"model_names": ["bad-doubles"] * 2}, "at most one model"),
}  # fmt: skip


@pytest.mark.parametrize(("operation", "body", "message"), ADMIN_INVALID.values(), ids=ADMIN_INVALID)
def test_an_admin_request_that_cannot_be_meant(
    cluster: ClipperConnection, operation: str, body: Any, message: str
) -> None:
    assert message in invalid(admin(cluster, operation, body))
    assert "bad-new" not in cluster.get_all_apps()
    assert "bad-new:1" not in cluster.get_all_models()


ADMIN_REFUSED = {
    "a registered application": ("add_app", APPLICATION | {"name": "bad-doubles"}, (409, 6, "ALREADY_EXISTS")),
    "a registered model": ("add_model", MODEL | {"model_name": "bad-doubles"}, (409, 6, "ALREADY_EXISTS")),
    "a link that exists": ("add_model_links", LINK, (409, 6, "ALREADY_EXISTS")),
    "a link to another type": ("add_model_links", LINK | {"app_name": "bad-floats"}, (400, 9, "CONFLICT")),
    "a version of another type": (
        "add_model",
        MODEL | {"model_name": "bad-doubles", "model_version": "2", "input_type": "floats"},
        (400, 9, "CONFLICT"),
    ),
    "a link of no application": ("add_model_links", LINK | {"app_name": "nobody"}, (404, 5, "NOT_FOUND")),
    "a link to no model": ("add_model_links", LINK | {"model_names": ["nothing"]}, (404, 5, "NOT_FOUND")),
    "removal of no link": ("delete_model_links", LINK | {"model_names": ["nothing"]}, (404, 5, "NOT_FOUND")),
    "removal of no application": ("delete_app", {"name": "nobody"}, (404, 5, "NOT_FOUND")),
    "removal of no version": (
        "delete_versioned_model",
        {"model_name": "bad-doubles", "model_version": "7"},
        (404, 5, "NOT_FOUND"),
    ),
    "an unknown version": (
        "set_model_version",
        {"model_name": "bad-doubles", "model_version": "7"},
        (404, 5, "NOT_FOUND"),
    ),
    "an unknown operation": ("forget_everything", {}, (404, 5, "NOT_FOUND")),
    "100 MiB": ("add_app", b'{"name": "' + b"x" * 100 * MIB + b'"}', (413, 8, "TOO_LARGE")),
}


@pytest.mark.parametrize(("operation", "body", "status"), ADMIN_REFUSED.values(), ids=ADMIN_REFUSED)
def test_an_admin_request_that_what_is_registered_does_not_allow(
    cluster: ClipperConnection, operation: str, body: Any, status: tuple[int, int, str]
) -> None:
    refusal(admin(cluster, operation, body), *status)


@pytest.mark.parametrize("path", ["/admin", "/", "/admin/add_app/more", "/metrics", "/bad-doubles/predict"])
def test_an_unknown_admin_path_is_not_found(cluster: ClipperConnection, path: str) -> None:
    missing(raw(cluster.cm.get_admin_addr(), "POST", path, b"{}"))
    missing(raw(cluster.cm.get_admin_addr(), "GET", path, None))


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("operation", ["get_all_applications", "add_app/"])
def test_admin_requests_are_posted(cluster: ClipperConnection, operation: str, method: str) -> None:
    refused = raw(cluster.cm.get_admin_addr(), method, f"/admin/{operation}", b"{}")

    assert not_allowed(refused, "POST") == "Only POST is allowed here"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_ping_is_got(cluster: ClipperConnection, method: str) -> None:
    refused = raw(cluster.cm.get_admin_addr(), method, "/admin/ping", b"{}")

    assert not_allowed(refused, "GET") == "Only GET is allowed here"

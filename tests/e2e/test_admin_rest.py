"""The admin REST as existing admin clients use it: their requests, and the answers that they know, byte for byte.

Such a client tells success from failure by the status 200 alone; what it used to find in a failure's body is now the
message in it.
"""

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
import requests

from clipper_admin import ClipperConnection
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.clients import Answer, RestClient
from tests.fixtures.functions import telling

_numbers = itertools.count()


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"raw-{next(_numbers)}"


def post(cluster: ClipperConnection, operation: str, **body: Any) -> requests.Response:
    url = f"http://{cluster.cm.get_admin_addr()}/admin/{operation}"
    return requests.post(url, headers={"Content-type": "application/json"}, data=json.dumps(body), timeout=10)


def succeeds(cluster: ClipperConnection, operation: str, **body: Any) -> str:
    """The body of a success."""
    response = post(cluster, operation, **body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.text


def fails(cluster: ClipperConnection, operation: str, **body: Any) -> str:
    """The message of a failure."""
    response = post(cluster, operation, **body)
    assert response.status_code != 200
    return str(response.json()["message"])


def application(name: str, **changed: Any) -> dict[str, Any]:
    defaults = {"input_type": "doubles", "default_output": "-1.0", "latency_slo_micros": 100_000}
    return {"name": name, **defaults, **changed}


def model(name: str, version: str = "1", **changed: Any) -> dict[str, Any]:
    defaults = {
        "labels": [],
        "input_type": "doubles",
        "container_name": "image:1",
        "model_data_path": "DEPRECATED",
        "batch_size": -1,
    }
    return {"model_name": name, "model_version": version, **defaults, **changed}


def links(app_name: str, *model_names: str) -> dict[str, Any]:
    return {"app_name": app_name, "model_names": list(model_names)}


def test_ping(cluster: ClipperConnection) -> None:
    assert requests.get(f"http://{cluster.cm.get_admin_addr()}/admin/ping", timeout=10).content == b"PONG"


def test_an_applications_life(cluster: ClipperConnection, name: str) -> None:
    described = (
        f'{{"input_type":"doubles","default_output":"-1.0","latency_slo_micros":100000,"name":"{name}",'
        '"linked_models":[],"priority":"normal","share":1.0,"use_cache":true,"cache_ttl_micros":0,'
        '"selection_policy":"single","policy_parameters":{},"confidence_threshold":0.0,"loss":"zero_one",'
        '"loss_scale":1.0,"feedback_window_s":3600,"context_ttl_s":2592000,"combine":"vote",'
        '"missing":"error","schema":{}}'
    )

    added = succeeds(cluster, "add_app", **application(name))

    assert added == f"Successfully added application with name '{name}'"
    assert succeeds(cluster, "get_application", name=name) == described
    assert name in json.loads(succeeds(cluster, "get_all_applications", verbose=False))
    assert described in succeeds(cluster, "get_all_applications", verbose=True)
    assert succeeds(cluster, "get_linked_models", app_name=name) == "[]"
    assert succeeds(cluster, "get_state", app_name=name, uid=0) == "-1.0"
    assert succeeds(cluster, "delete_app", name=name) == f"Successfully deleted application with name '{name}'"
    assert succeeds(cluster, "get_application", name=name) == "{}"
    assert name not in json.loads(succeeds(cluster, "get_all_applications", verbose=False))


def test_a_models_life(cluster: ClipperConnection, name: str) -> None:
    def described(version: str, is_current: str) -> str:
        return (
            f'{{"model_name":"{name}","model_version":"{version}","input_type":"integers","labels":["a","b"],'
            f'"container_name":"image:1","model_data_path":"DEPRECATED","is_current_version":{is_current},'
            '"batching_policy":"","batch_delay_micros":0,"input_names":[]}'
        )

    for version in ("1", "2"):
        added = succeeds(cluster, "add_model", **model(name, version, input_type="ints", labels=["a", "b"]))
        assert added == f"Successfully added model with name '{name}' and input type 'integers'"

    assert succeeds(cluster, "get_model", model_name=name, model_version="2") == described("2", "true")
    assert {f"{name}:1", f"{name}:2"} <= set(json.loads(succeeds(cluster, "get_all_models", verbose=False)))
    assert described("1", "false") in succeeds(cluster, "get_all_models", verbose=True)
    back = succeeds(cluster, "set_model_version", model_name=name, model_version="1")
    assert back == f"Successfully set model with name '{name}' to version '1'"
    assert succeeds(cluster, "get_model", model_name=name, model_version="1") == described("1", "true")
    for version in ("1", "2"):
        gone = succeeds(cluster, "delete_versioned_model", model_name=name, model_version=version)
        assert gone == f"Successfully deleted model with name '{name}' and version '{version}'"
    assert succeeds(cluster, "get_model", model_name=name, model_version="1") == "{}"


def test_a_links_life(cluster: ClipperConnection, name: str) -> None:
    succeeds(cluster, "add_app", **application(name))
    succeeds(cluster, "add_model", **model(f"{name}-m"))

    linked = succeeds(cluster, "add_model_links", **links(name, f"{name}-m"))

    assert linked == f"Successfully linked model with name '{name}-m' to application '{name}'"
    assert succeeds(cluster, "get_linked_models", app_name=name) == f'["{name}-m"]'
    assert succeeds(cluster, "delete_model_links", **links(name, f"{name}-m")) == "Success!"
    assert succeeds(cluster, "get_linked_models", app_name=name) == "[]"


def test_several_links_life(cluster: ClipperConnection, name: str) -> None:
    succeeds(cluster, "add_app", **application(name, selection_policy="exp3"))
    models = [f"{name}-{suffix}" for suffix in "abc"]
    for each in models:
        succeeds(cluster, "add_model", **model(each))

    linked = succeeds(cluster, "add_model_links", **links(name, models[2], models[0]))

    assert linked == f"Successfully linked models with names '{name}-c', '{name}-a' to application '{name}'"
    succeeds(cluster, "add_model_links", **links(name, models[1]))
    assert json.loads(succeeds(cluster, "get_linked_models", app_name=name)) == models
    assert fails(cluster, "add_model_links", **links(name, models[1])) == (
        f"The model with name '{models[1]}' is already linked to '{name}'"
    )
    assert succeeds(cluster, "delete_model_links", **links(name, *models[:2])) == "Success!"
    assert json.loads(succeeds(cluster, "get_linked_models", app_name=name)) == models[2:]


def test_a_selection_states_life(cluster: ClipperConnection, name: str) -> None:
    succeeds(cluster, "add_app", **application(name, selection_policy="exp3", policy_parameters={"eta": 0.5}))
    succeeds(cluster, "add_model", **model(name))
    succeeds(cluster, "add_model_links", **links(name, name))

    described = json.loads(succeeds(cluster, "get_application", name=name))

    assert (described["selection_policy"], described["policy_parameters"]) == ("exp3", {"eta": 0.5})
    assert succeeds(cluster, "get_selection_state", app_name=name, context="ann") == (
        f'{{"selection_policy":"exp3","arms":["{name}"],"state":{{}}}}'
    )
    assert succeeds(cluster, "get_state", app_name=name, uid=7) == "{}"
    assert succeeds(cluster, "get_selection_events", app_name=name).startswith('{"events":[],"next":"')
    assert succeeds(cluster, "delete_selection_state", app_name=name, context="ann") == (
        f"Successfully deleted selection state of context 'ann' of application '{name}'"
    )


def test_replicas_are_listed_and_described(cluster: ClipperConnection, name: str) -> None:
    python_deployer.deploy_python_closure(cluster, name, 1, "doubles", telling("1"), check=False)
    described = (
        f'{{"model_id":"{name}:1","model_name":"{name}","model_version":"1","model_replica_id":0,'
        '"input_type":"doubles"}'
    )

    assert f"{name}:1:0" in json.loads(succeeds(cluster, "get_all_containers", verbose=False))
    assert described in succeeds(cluster, "get_all_containers", verbose=True)
    assert succeeds(cluster, "get_container", model_name=name, model_version="1", replica_id=0) == described
    assert succeeds(cluster, "get_container", model_name=name, model_version="1", replica_id=7) == "{}"
    cluster.stop_models([name])


def test_failures_of_applications_say_what_they_said(cluster: ClipperConnection, name: str) -> None:
    succeeds(cluster, "add_app", **application(name))

    assert fails(cluster, "add_app", **application(name)) == f"application '{name}' already exists"
    assert fails(cluster, "delete_app", name="nobody") == "Application 'nobody' does not exist"
    for operation, question in (
        ("get_linked_models", {}),
        ("get_state", {"uid": 0}),
        ("get_selection_state", {"context": ""}),
        ("delete_selection_state", {"context": ""}),
        ("get_selection_events", {}),
    ):
        refused = fails(cluster, operation, app_name="nobody", **question)
        assert refused == "No application with name 'nobody' exists."
    assert fails(cluster, "add_app", name=name).startswith(
        "Error parsing JSON: JSON object does not have required key: input_type. Expected JSON schema: "
    )


def test_failures_of_models_say_what_they_said(cluster: ClipperConnection, name: str) -> None:
    succeeds(cluster, "add_model", **model(name))
    succeeds(cluster, "add_app", **application(name))
    succeeds(cluster, "add_model_links", **links(name, name))
    unknown = {"model_name": name, "model_version": "9"}
    incompatible = (
        f"Model with name '{name}' is already linked to app '{name}' using input type 'doubles'. "
        "The input type you provided for a new version of the model, 'strings', is not compatible."
    )

    assert fails(cluster, "add_model", **model(name)) == f"model with name '{name}' and version '1' already exists"
    assert fails(cluster, "add_model", **model(name, "2", input_type="strings")) == incompatible
    assert fails(cluster, "add_model", **model(name, "2", batch_size=0)) == (
        "The batch size must be positive or DEFAULT_BATCH_SIZE, which is -1"
    )
    assert fails(cluster, "add_model", **model("a:b")) == (
        "Invalid model name supplied: a:b. Contains one of: ',', ':'"
    )
    assert fails(cluster, "add_model", **model(name, "a,b")) == (
        "Invalid model version supplied: a,b. Contains one of: ',', ':'"
    )
    assert fails(cluster, "add_model", **model(name, "2", labels=["a:b"])) == (
        "Invalid label supplied: a:b. Contains one of: ',', ':'"
    )
    assert fails(cluster, "delete_versioned_model", **unknown) == (
        f"model with name '{name}' and version '9' does not exist"
    )
    assert fails(cluster, "set_model_version", **unknown) == (
        f"Cannot set non-existent version '9' for model with name '{name}'"
    )
    assert fails(cluster, "set_model_version", model_name="nothing", model_version="1") == (
        "Cannot set version for nonexistent model 'nothing'"
    )


def test_failures_of_links_say_what_they_said(cluster: ClipperConnection, name: str) -> None:
    succeeds(cluster, "add_app", **application(name))
    for suffix, input_type in (("m", "doubles"), ("n", "doubles"), ("s", "strings")):
        succeeds(cluster, "add_model", **model(f"{name}-{suffix}", input_type=input_type))
    first, second, strings = (f"{name}-{suffix}" for suffix in "mns")

    assert fails(cluster, "add_model_links", **links("nobody", first)) == "No app with name 'nobody' exists."
    assert fails(cluster, "add_model_links", **links(name, "nothing")) == "No model with name 'nothing' exists."
    assert fails(cluster, "add_model_links", **links(name, strings)) == (
        f"Model with name '{strings}' has incompatible input_type 'strings'. "
        "Requested app to link to has input_type 'doubles'."
    )
    assert fails(cluster, "add_model_links", **links(name)) == (
        f"Please provide the name of the model that you want to link to the application '{name}'"
    )
    assert fails(cluster, "add_model_links", **links(name, first, second)) == (
        "Applications must be linked with at most one model. Attempted to add links to 2 models."
    )
    succeeds(cluster, "add_model_links", **links(name, first))
    assert fails(cluster, "add_model_links", **links(name, first)) == (
        f"The model with name '{first}' is already linked to '{name}'"
    )
    assert fails(cluster, "add_model_links", **links(name, second)) == (
        f"A model with name {first} is already linked to '{name}'."
    )
    assert fails(cluster, "delete_model_links", **links("nobody", first)) == "No app with name nobody exists."
    assert fails(cluster, "delete_model_links", **links(name, second)) == (
        f"Cannot remove nonexistent link between app {name} and model {second}"
    )


def ask(cluster: ClipperConnection, application: str, numbers: Sequence[float] = (1.0, 2.0)) -> list[Answer]:
    """Several answers, so that every query service gives some."""
    with RestClient(cluster.get_query_addr(), application) as client:
        return [client.ask(numbers) for _ in range(10)]


def says(answers: Sequence[Answer]) -> set[str]:
    return {answer.output["says"] for answer in answers if answer.is_prediction}


def test_a_registered_anew_application_has_nothing_of_its_predecessor(cluster: ClipperConnection, name: str) -> None:
    python_deployer.create_endpoint(
        cluster, name, "doubles", telling("1", pause_s=1.0), default_output="old", check=False
    )
    assert says(ask(cluster, name)) == {"1"}

    succeeds(cluster, "delete_app", name=name)
    with RestClient(cluster.get_query_addr(), name) as client:
        assert client.ask([1.0]).error.startswith("404 ")
    succeeds(cluster, "add_app", **application(name, default_output="new"))

    assert succeeds(cluster, "get_linked_models", app_name=name) == "[]"
    assert {(each.output, each.explanation) for each in ask(cluster, name)} == {
        ("new", "No connected models found for query")
    }
    succeeds(cluster, "add_model_links", **links(name, name))
    late = ask(cluster, name, [3.0])[0]
    assert (late.output, late.is_default) == ("new", True)
    # By its own objective: the model takes a second, for which its predecessor's had time.
    assert late.latency_s >= 0.1
    succeeds(cluster, "delete_app", name=name)
    succeeds(cluster, "add_app", **application(name, input_type="strings", default_output="text"))
    assert all("is not of type string" in each.error for each in ask(cluster, name))
    cluster.stop_models([name])


@pytest.mark.parametrize("others", [[], ["other"]], ids=["its only version", "one of two versions"])
def test_a_version_deployed_anew_has_no_output_of_its_predecessor(
    cluster: ClipperConnection, name: str, others: Sequence[str]
) -> None:
    cluster.register_application(name, "doubles", "default", 5_000_000)
    for version in (*others, "1"):
        python_deployer.deploy_python_closure(cluster, name, version, "doubles", telling("old"), check=False)
    cluster.link_model_to_app(name, name)
    assert says(ask(cluster, name)) == {"old"}

    cluster.stop_versioned_models({name: ["1"]})
    assert all(answer.is_default for answer in ask(cluster, name))
    python_deployer.deploy_python_closure(cluster, name, "1", "doubles", telling("new"), check=False)
    if not others:
        # With the last version of a model its links went.
        assert cluster.get_linked_models(name) == []
        cluster.link_model_to_app(name, name)

    assert says(ask(cluster, name)) == {"new"}
    cluster.stop_models([name])


def test_a_relinked_application_answers_with_the_model_that_it_is_linked_to_now(
    cluster: ClipperConnection, name: str
) -> None:
    cluster.register_application(name, "doubles", "default", 5_000_000)
    models = [f"{name}-{suffix}" for suffix in "ab"]
    for each in models:
        python_deployer.deploy_python_closure(cluster, each, 1, "doubles", telling(each), check=False)

    for each in (*models, models[0]):
        cluster.link_model_to_app(name, each)
        assert says(ask(cluster, name)) == {each}
        cluster.unlink_model_from_app(name, each)

    cluster.stop_models(models)

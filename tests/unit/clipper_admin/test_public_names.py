"""What programs import and call."""

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import clipper_admin
from clipper_admin import (
    ClipperConnection,
    ClipperException,
    DockerContainerManager,
    ProcessContainerManager,
    UnconnectedException,
)
from clipper_admin.deployers import python as python_deployer
from clipper_admin.deployers import pytorch

# Each with the arguments that have no default.
CONNECTED_ONLY: dict[str, tuple[Any, ...]] = {
    "register_application": ("a", "doubles", "0", 1),
    "unregister_application": ("a",),
    "delete_application": ("a",),
    "link_model_to_app": ("a", "m"),
    "unlink_model_from_app": ("a", "m"),
    "build_and_deploy_model": ("m", 1, "doubles", "/path", "image"),
    "deploy_model": ("m", 1, "doubles", "image"),
    "register_model": ("m", 1, "doubles"),
    "get_current_model_version": ("m",),
    "get_num_replicas": ("m",),
    "set_num_replicas": ("m", 1),
    "get_all_apps": (),
    "get_app_info": ("a",),
    "get_linked_models": ("a",),
    "get_selection_state": ("a",),
    "delete_selection_state": ("a",),
    "get_selection_events": ("a",),
    "get_all_models": (),
    "get_model_info": ("m", 1),
    "get_model_packages": ("m",),
    "get_all_model_replicas": (),
    "get_model_replica_info": ("m", 1, 0),
    "get_clipper_logs": (),
    "inspect_instance": (),
    "set_model_version": ("m", 1),
    "get_query_addr": (),
    "get_metric_addr": (),
    "stop_models": (["m"],),
    "stop_versioned_models": ({"m": [1]},),
    "stop_inactive_model_versions": (["m"],),
    "stop_all_model_containers": (),
}
ENDPOINT_TAIL = {
    "default_output": "None",
    "version": 1,
    "slo_micros": 3_000_000,
    "labels": None,
    "registry": None,
    "base_image": "default",
    "num_replicas": 1,
    "batch_size": -1,
    "pkgs_to_install": None,
}
DEPLOY_TAIL = {
    "base_image": "default",
    "labels": None,
    "registry": None,
    "num_replicas": 1,
    "batch_size": -1,
    "pkgs_to_install": None,
}
# Keyword-only, after everything that existing programs may pass by position.
BATCHING = {"batching_policy": None, "batch_delay_micros": 0}
NAMING = {"input_names": ()}
SHIPPING = {"files": (), "env": None, "pin_packages": True, "check": True, "sample_input": None}
REPEATING = {"exist_ok": False, "replace": False, "load_timeout_s": 300.0}
APPLICATION_OPTIONS = {
    "priority": "normal",
    "share": 1.0,
    "use_cache": True,
    "cache_ttl_micros": 0,
    "selection_policy": "single",
    "policy_parameters": None,
    "confidence_threshold": 0.0,
    "loss": "zero_one",
    "loss_scale": 1.0,
    "feedback_window_s": 3_600,
    "context_ttl_s": 2_592_000,
    "combine": "vote",
    "missing": "error",
    "schema": None,
    "exist_ok": False,
}
DOCKER_DEFAULTS = {
    "cluster_name": "default-cluster",
    "docker_ip_address": "localhost",
    "use_centralized_log": False,
    "fluentd_port": 24224,
    "clipper_query_port": 1337,
    "clipper_management_port": 1338,
    "clipper_rpc_port": 7000,
    "redis_ip": None,
    "redis_port": 6379,
    "prometheus_port": 9090,
    "docker_network": "clipper_network",
    "extra_container_kwargs": None,
}


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The arguments of a function that have defaults, in order."""
    parameters = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not inspect.Parameter.empty}


def test_the_package_has_its_public_names() -> None:
    assert all(hasattr(clipper_admin, name) for name in clipper_admin.__all__)
    assert clipper_admin.__registry__ == "clipper"
    assert clipper_admin.__version__.count(".") == 2
    assert clipper_admin.deployers.python is python_deployer


@pytest.mark.parametrize(("method", "arguments"), CONNECTED_ONLY.items(), ids=CONNECTED_ONLY)
def test_methods_that_need_a_cluster_say_so_without_one(method: str, arguments: tuple[Any, ...]) -> None:
    connection = ClipperConnection(ProcessContainerManager())

    with pytest.raises(UnconnectedException, match="No connection to Clipper cluster") as refused:
        getattr(connection, method)(*arguments)

    assert refused.value.message == refused.value.msg


def test_defaults_are_the_documented_ones() -> None:
    start = defaults(ClipperConnection.start_clipper)
    assert start["cache_size"] == 33_554_432
    assert (start["qf_http_timeout_request"], start["qf_http_timeout_content"]) == (5, 300)
    assert start["query_frontend_image"] == f"clipper/query_frontend:{clipper_admin.__version__}"
    assert list(defaults(python_deployer.create_endpoint).items()) == list(
        (ENDPOINT_TAIL | BATCHING | SHIPPING | REPEATING | NAMING).items()
    )
    assert list(defaults(python_deployer.deploy_python_closure).items()) == list(
        (DEPLOY_TAIL | BATCHING | SHIPPING | REPEATING | NAMING).items()
    )
    assert defaults(ClipperConnection.register_model) == {
        "image": None,
        "labels": None,
        "batch_size": -1,
        **BATCHING,
        "exist_ok": False,
        **NAMING,
    }
    assert defaults(ClipperConnection.register_application) == APPLICATION_OPTIONS
    assert defaults(ClipperConnection.stop_all) == {"graceful": True, "keep_state": False}
    docker = defaults(DockerContainerManager)
    assert docker.pop("model_resources") is None
    assert docker == DOCKER_DEFAULTS


def test_what_is_passed_by_position_to_the_original_is_so_still() -> None:
    create, deploy = pytorch.create_endpoint, pytorch.deploy_pytorch_model
    asked = ["input_type", "func", "pytorch_model"]

    assert list(inspect.signature(create).parameters)[:-1] == ["clipper_conn", "name", *asked, *ENDPOINT_TAIL]
    assert list(inspect.signature(deploy).parameters)[:-1] == ["clipper_conn", "name", "version", *asked, *DEPLOY_TAIL]
    assert (defaults(create), defaults(deploy)) == (ENDPOINT_TAIL, DEPLOY_TAIL)


def keyword_only(function: Callable[..., Any]) -> list[str]:
    """The parameters that cannot be passed by position."""
    parameters = inspect.signature(function).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


@pytest.mark.parametrize(
    ("function", "own"),
    [
        (ClipperConnection.build_model, ["python", "env"]),
        (ClipperConnection.register_model, [*BATCHING, "exist_ok", *NAMING]),
        (ClipperConnection.deploy_model, [*BATCHING, *REPEATING, *NAMING]),
        (
            ClipperConnection.build_and_deploy_model,
            [*BATCHING, "python", "env", "check", "sample_input", *REPEATING, *NAMING],
        ),
        (python_deployer.create_endpoint, [*BATCHING, *SHIPPING, *REPEATING, *NAMING]),
        (ClipperConnection.test_predict_function, ["files", "env", *NAMING]),
        (python_deployer.deploy_python_closure, [*BATCHING, *SHIPPING, *REPEATING, *NAMING]),
    ],
)
def test_what_the_original_did_not_have_is_passed_by_name(function: Callable[..., Any], own: list[str]) -> None:
    assert keyword_only(function) == own


def test_what_the_original_did_not_have_of_an_application_is_passed_by_name() -> None:
    assert keyword_only(ClipperConnection.register_application) == list(APPLICATION_OPTIONS)


def test_without_a_docker_engine_the_manager_says_what_to_use_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")

    with pytest.raises(ClipperException, match=r"(?s)No Docker engine answers.*ProcessContainerManager"):
        DockerContainerManager()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"cluster_name": "Upper"}, "Invalid cluster name"),
        ({"cluster_name": "-dash"}, "Invalid cluster name"),
        ({"docker_network": "host"}, "cannot use the Docker network 'host'"),
        ({"redis_ip": "localhost"}, "dialled from within containers"),
        ({"extra_container_kwargs": {"image": "mine"}}, "cannot set image"),
    ],
    ids=["upper-case-name", "name-with-dash", "host-network", "local-redis", "reserved-option"],
)
def test_docker_arguments_that_cannot_work_are_refused(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ClipperException, match=complaint):
        DockerContainerManager(**arguments)


@pytest.mark.parametrize("name", ["", "a/b", "../up", ".hidden"])
def test_a_cluster_name_that_cannot_be_a_directory_is_refused(name: str) -> None:
    with pytest.raises(ClipperException, match="Invalid cluster name"):
        ProcessContainerManager(name)


# What an interpreter that has not got the package finds under its name: nothing, or something of somebody else's.
NOTHING = "raise ModuleNotFoundError(\"No module named 'docker'\", name='docker')"
SOMETHING_ELSE = "IMAGES = ['mine']"


@pytest.mark.parametrize("found", [NOTHING, SOMETHING_ELSE], ids=["nothing", "something-else"])
def test_without_the_docker_package_a_manager_says_what_to_install_and_all_else_works(
    found: str, tmp_path: Path
) -> None:
    (tmp_path / "docker.py").write_text(found)
    program = """
from clipper_admin import *
ClipperConnection(ProcessContainerManager())
for make in (DockerContainerManager, lambda: Clipper("localhost")):
    try:
        make()
    except ClipperException as refusal:
        assert "the Python package docker" in refusal.msg, refusal
        assert "`pip install 'clipper[docker]'` brings it" in refusal.msg, refusal
    else:
        raise AssertionError
"""

    subprocess.run((sys.executable, "-c", program), env={**os.environ, "PYTHONPATH": str(tmp_path)}, check=True)

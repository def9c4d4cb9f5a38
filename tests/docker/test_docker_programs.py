"""Programs written for Clipper run on Docker as they stand: pictures, batches, the first release's class."""

import base64
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import docker
import numpy as np
import pytest
import requests

from clipper_admin import Clipper, ClipperConnection, ClipperManagerException
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.docker_clusters import CLUSTER_LABEL, remove_images
from tests.fixtures.docker_engine import skip
from tests.fixtures.functions import feature_sum
from tests.fixtures.waiting import wait_until

JSON = {"Content-type": "application/json"}
# A grey picture of 3 by 2 pixels as a portable greymap.
PICTURE = b"P5 3 2 255\n" + bytes([0, 50, 100, 150, 200, 250])


@pytest.fixture
def default_cluster(engine: docker.DockerClient, base_images: None) -> Iterator[None]:
    """Nobody's default cluster, which may be used and is gone afterwards."""
    if engine.containers.list(all=True, filters={"label": f"{CLUSTER_LABEL}=default-cluster"}):
        skip("the Docker engine runs somebody's default-cluster")
    yield
    Clipper("localhost").stop_all()
    remove_images(engine, "default-cluster-feature_sum_model:")
    remove_images(engine, "default-cluster-again:")


def size_of_picture(inputs: Sequence[Any]) -> list[str]:
    """Width, height and brightest pixel of greymaps."""
    sizes = []
    for each in inputs:
        content = each.tobytes()
        _magic, width, height, _rest = content.split(maxsplit=3)
        sizes.append(json.dumps({"width": int(width), "height": int(height), "brightest": max(content[-6:])}))
    return sizes


def test_pictures_are_sent_as_base64_and_reach_the_model_as_bytes(docker_cluster: ClipperConnection) -> None:
    python_deployer.create_endpoint(docker_cluster, "image-example", "bytes", size_of_picture, slo_micros=5_000_000)
    url = f"http://{docker_cluster.get_query_addr()}/image-example/predict"
    picture = base64.b64encode(PICTURE).decode()

    one = requests.post(url, headers=JSON, data=json.dumps({"input": picture}), timeout=10).json()
    two = requests.post(url, headers=JSON, data=json.dumps({"input_batch": [picture] * 2}), timeout=10).json()

    assert one["output"] == {"width": 3, "height": 2, "brightest": 250}
    assert [each["output"] for each in two["batch_predictions"]] == [one["output"]] * 2
    docker_cluster.stop_models(["image-example"])


def test_pictures_are_sent_as_base64_text_and_the_model_decodes_them(docker_cluster: ClipperConnection) -> None:
    def decode(inputs: Sequence[str]) -> list[int]:
        return [len(base64.b64decode(each)) for each in inputs]

    python_deployer.create_endpoint(
        docker_cluster, "text-example", "strings", decode, slo_micros=5_000_000, check=False
    )
    url = f"http://{docker_cluster.get_query_addr()}/text-example/predict"

    answer = requests.post(url, json={"input": base64.b64encode(PICTURE).decode()}, timeout=10).json()

    assert (answer["output"], answer["default"]) == (len(PICTURE), False)
    docker_cluster.stop_models(["text-example"])


def test_a_client_asks_in_batches(docker_cluster: ClipperConnection) -> None:
    python_deployer.create_endpoint(
        docker_cluster, "simple-example", "doubles", feature_sum, slo_micros=5_000_000, check=False
    )
    url = f"http://{docker_cluster.get_query_addr()}/simple-example/predict"
    batch = [list(np.random.random(200)) for _ in range(5)]

    answers = requests.post(url, headers=JSON, data=json.dumps({"input_batch": batch}), timeout=10).json()

    outputs = [each["output"] for each in answers["batch_predictions"]]
    assert outputs == [pytest.approx(sum(each)) for each in batch]
    docker_cluster.stop_models(["simple-example"])


def test_programs_of_the_first_release_run(default_cluster: None, capsys: pytest.CaptureFixture[str]) -> None:
    clipper = Clipper("localhost")
    clipper.start()
    clipper.register_application("hello_world", "feature_sum_model", "doubles", "-1.0", 100_000)
    assert clipper.get_all_apps() == ["hello_world"]

    clipper.deploy_predict_function("feature_sum_model", 1, feature_sum, "doubles")

    said = capsys.readouterr().out.splitlines()
    assert said == ["Checking if Docker is running...", "Clipper is running", "Success!"]
    assert (clipper.get_app_info("hello_world") or {})["linked_models"] == ["feature_sum_model"]
    assert clipper.get_all_containers() == ["feature_sum_model:1:0"]
    [envoy] = docker.from_env().containers.list(
        filters={"label": [f"{CLUSTER_LABEL}=default-cluster", "ai.clipper.query_frontend.query.port"]}
    )
    url = f"http://127.0.0.1:{envoy.labels['ai.clipper.query_frontend.query.port']}/hello_world/predict"
    body = json.dumps({"uid": 0, "input": [1.1, 2.2, 3.3]})
    # A busy machine may miss the tenth of a second that the program allows.
    wait_until(lambda: requests.post(url, headers=JSON, data=body, timeout=10).json()["output"] == 6.6)

    assert clipper.add_container("feature_sum_model", 1)
    assert len(clipper.get_all_containers()) == 2
    assert not clipper.deploy_predict_function("feature_sum_model", 1, feature_sum, "doubles")
    assert "already exists" in capsys.readouterr().out
    assert clipper.register_app_and_deploy_predict_function("again", feature_sum, "doubles")


def test_a_function_that_cannot_be_deployed_is_told_to_programs_of_the_first_release(
    default_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    class Breaks:
        def __init__(self) -> None:
            raise ValueError("broken")

    lock = threading.Lock()
    clipper = Clipper("localhost")
    clipper.start()

    assert not clipper.deploy_predict_function("again", 1, Breaks, "doubles")
    assert "The model does not pass its check" in capsys.readouterr().out
    assert not clipper.deploy_predict_function("again", 1, lambda inputs: [str(lock) for _ in inputs], "doubles")
    assert "The function cannot be serialised" in capsys.readouterr().out
    assert clipper.get_all_models() == []


def test_the_first_releases_way_to_other_machines_is_refused_with_todays() -> None:
    with pytest.raises(ClipperManagerException, match="DOCKER_HOST"):
        Clipper("10.0.0.1", user="me", key_path="/key")

"""The images: small, pinned, and with nothing in them that they do not need."""

import json
from pathlib import Path

import docker
import pytest

from tests.fixtures.docker_engine import EDGE_IMAGE, MANAGEMENT_IMAGE, MODEL_CONTAINER_IMAGE, QUERY_IMAGE

LOCK = Path(__file__).parents[2] / "requirements.lock"
INSTALLED = (
    "import importlib.metadata, json;"
    "print(json.dumps({found.name: found.version for found in importlib.metadata.distributions()}))"
)
# Imports every module of the service, of which the first argument is the name.
IMPORTS = """
import importlib, pkgutil, sys
package = importlib.import_module(f"services.{sys.argv[1]}")
for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
    if not module.name.endswith(("__main__", "spawned")):  # they are run
        importlib.import_module(module.name)
        print(module.name)
"""
OWN = {QUERY_IMAGE: "query", MANAGEMENT_IMAGE: "management", MODEL_CONTAINER_IMAGE: "model_container"}
SHARED = {
    QUERY_IMAGE: ["common", "store"],
    MANAGEMENT_IMAGE: ["common", "store"],
    MODEL_CONTAINER_IMAGE: ["common", "model_runtime"],
}
# What an image adds to the one that it stands on: 94, 36, 93 and less than one megabyte are expected.
MOST_ADDED_MB = {QUERY_IMAGE: 120, MANAGEMENT_IMAGE: 50, MODEL_CONTAINER_IMAGE: 120, EDGE_IMAGE: 1}


def run(engine: docker.DockerClient, image: str, *command: str) -> str:
    output: bytes = engine.containers.run(image, list(command), remove=True, network_mode="none")
    return output.decode()


def normalized(package: str) -> str:
    return package.lower().replace("_", "-")


@pytest.mark.parametrize("image", OWN)
def test_a_service_image_has_only_its_own_service_and_what_that_stands_on(
    engine: docker.DockerClient, image: str
) -> None:
    assert run(engine, image, "ls", "/srv/clipper/services").split() == sorted([*SHARED[image], OWN[image]])


@pytest.mark.parametrize("image", OWN)
def test_a_service_image_has_all_that_its_service_imports(engine: docker.DockerClient, image: str) -> None:
    assert f"services.{OWN[image]}.server" in run(engine, image, "python", "-c", IMPORTS, OWN[image]).split()


@pytest.mark.parametrize("image", OWN)
def test_what_is_installed_is_what_the_lock_says(engine: docker.DockerClient, image: str) -> None:
    locked = dict(normalized(line).split("==") for line in LOCK.read_text().split())

    installed = json.loads(run(engine, image, "/opt/clipper/bin/python", "-I", "-c", INSTALLED))

    assert {normalized(name): version for name, version in installed.items()}.items() <= locked.items()


@pytest.mark.parametrize("image", MOST_ADDED_MB)
def test_an_image_adds_little_to_what_it_stands_on(engine: docker.DockerClient, image: str) -> None:
    directories = "/etc/envoy" if image == EDGE_IMAGE else "/opt/clipper /srv/clipper"

    added_kb = run(engine, image, "sh", "-c", f"du -skc {directories}").split()[-2]

    assert int(added_kb) / 1024 < MOST_ADDED_MB[image]


def test_a_service_that_does_not_serve_is_not_healthy(engine: docker.DockerClient) -> None:
    check = engine.images.get(QUERY_IMAGE).attrs["Config"]["Healthcheck"]["Test"][1:]

    with pytest.raises(docker.errors.ContainerError) as failed:
        run(engine, QUERY_IMAGE, *check)

    assert failed.value.exit_status == 1

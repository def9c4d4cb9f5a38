"""How the edge image starts: with the configuration that the environment asks for, or with what is wrong in it."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clipper_admin import edge
from clipper_admin.edge import EdgeSettings
from clipper_admin.hosts.process import executables

SOURCES = Path(__file__).parents[2] / "deploy" / "envoy"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image has in /etc/envoy, and an envoy that only checks its configuration."""
    directory = tmp_path_factory.mktemp("image")
    subprocess.run([sys.executable, SOURCES / "render.py", directory], check=True)
    for file in ("start.sh", "metrics.yaml"):
        shutil.copy(SOURCES / file, directory)
    envoy = directory / "bin" / "envoy"
    envoy.parent.mkdir()
    envoy.write_text(f'#!/bin/sh\nexec "{executables.envoy()}" --mode validate "$@"\n')
    envoy.chmod(0o755)
    return directory


def start(image: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{image / 'bin'}:{os.environ['PATH']}", "TMPDIR": str(image), **variables}
    return subprocess.run([image / "start.sh"], env=environment, capture_output=True, text=True, check=False)


def most_open_files() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"CLIPPER_EDGE_CORS_ORIGINS": "", "CLIPPER_EDGE_HEAP_BYTES": ""},
        {"CLIPPER_EDGE_CORS_ORIGINS": "*"},
        {
            "CLIPPER_EDGE_CORS_ORIGINS": "https://shop.example, http://localhost:3000,",
            "CLIPPER_EDGE_HEAP_BYTES": "300000000",
            "CLIPPER_EDGE_CONNECTIONS": "50",
            "CLIPPER_EDGE_BODY_TIMEOUT_S": "5",
        },
    ],
    ids=["as it is", "empty variables", "every origin", "everything"],
)
def test_the_environment_sets_the_same_as_for_a_cluster_of_processes(image: Path, variables: dict[str, str]) -> None:
    started = start(image, **variables)

    assert started.returncode == 0, started.stderr
    assert (image / "envoy.filled.yaml").read_text() == edge.configuration(
        listen_address="0.0.0.0",
        query_port=1337,
        admin_port=1338,
        envoy_admin_port=9901,
        descriptor=str(image / "clipper.binpb"),
        query_services=["query:7000"],
        management_service="management:7000",
        settings=EdgeSettings.from_environment(variables).within(most_open_files()).placeholders,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLIPPER_EDGE_HEAP_BYTES", "1g"),
        ("CLIPPER_EDGE_CONNECTIONS", "0"),
        ("CLIPPER_EDGE_BODY_TIMEOUT_S", "-1"),
        ("CLIPPER_EDGE_CORS_ORIGINS", "https://shop.example/*#"),
    ],
)
def test_what_is_wrong_in_it_is_named(image: Path, name: str, value: str) -> None:
    started = start(image, **{name: value})

    assert started.returncode == 1
    assert name.removeprefix("CLIPPER_EDGE") in started.stderr
    assert f"'{value}'" in started.stderr

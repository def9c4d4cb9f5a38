"""How a model image is built, and what its output says."""

import json
import logging
from collections.abc import Callable

import pytest

from clipper_admin import ClipperException
from clipper_admin.hosts.docker import dockerfiles, images
from clipper_admin.hosts.docker.bases import Base
from clipper_admin.logs import ClusterAdapter

LOGGER = ClusterAdapter(logging.getLogger("clipper_admin.test"), "mine")


@pytest.fixture(autouse=True)
def everything_logged(caplog: pytest.LogCaptureFixture) -> None:
    """However little the library shows."""
    caplog.set_level(logging.INFO, "clipper_admin")


BASE = Base("base:1", "clipper", "/constraints.txt")


def test_a_model_without_packages_is_its_base_and_its_files() -> None:
    assert dockerfiles.without_packages(BASE) == "FROM base:1\nCOPY model/ /model/\n"


@pytest.mark.parametrize("write", [dockerfiles.together, dockerfiles.apart], ids=["together", "apart"])
def test_packages_are_installed_by_root_before_the_files_come_and_no_shell_reads_them(
    write: Callable[[Base, list[str]], str],
) -> None:
    lines = write(BASE, ["numpy>=2,<3", "a b; rm"]).splitlines()

    assert [line.partition(" ")[0] for line in lines if not line.startswith("ENV ")] == [
        *("FROM", "USER", "RUN", "USER", "COPY")
    ]
    assert (lines[1], lines[3]) == ("USER root", "USER clipper")
    shell, flag, program, *arguments = json.loads(lines[2].removeprefix("RUN "))
    assert (shell, flag) == ("sh", "-c")
    assert {"numpy>=2,<3", "a b; rm"} <= set(arguments)
    assert "a b; rm" not in program


def test_variables_come_from_the_builds_arguments_whatever_is_in_them() -> None:
    assert dockerfiles.variables(["UNIT"]).splitlines() == [
        "ARG CLIPPER_MODELS_UNIT",
        'ENV UNIT="${CLIPPER_MODELS_UNIT}"',
    ]


def test_labels_are_one_step_whatever_is_in_them() -> None:
    assert dockerfiles.labels({"a.b": "1 2", "c": 'ä $HOME "quoted" \\'}) == (
        'LABEL a.b="1 2" c="ä \\$HOME \\"quoted\\" \\\\"\n'
    )


def test_a_build_that_fails_ends_with_what_it_said_last(caplog: pytest.LogCaptureFixture) -> None:
    output = [{"stream": "Step 1/2 : FROM base\n"}, {"stream": "ERROR: no such package\n"}, {"error": "returned 1"}]

    with pytest.raises(ClipperException, match=r"(?s)cannot be built: returned 1\n.*no such package"):
        images.follow(output, LOGGER, "The image cannot be built")

    assert "[mine] Step 1/2 : FROM base" in caplog.text


def test_the_progress_of_layers_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    layer = {"id": "0f9a", "status": "Pushing", "progress": "[=>]"}

    images.follow([{"status": "The push refers to repository"}, layer, {"status": "1: digest"}], LOGGER, "failed")

    assert caplog.messages == ["[mine] The push refers to repository", "[mine] 1: digest"]

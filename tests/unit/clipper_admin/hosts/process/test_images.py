"""Directories with a container of somebody's own, as model images."""

import json
from pathlib import Path

import pytest

from clipper_admin import ClipperException
from clipper_admin.hosts.process import images


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a program in it."""
    program = tmp_path / "container"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return tmp_path


def describe(directory: Path, description: object) -> str:
    (directory / "image.json").write_text(json.dumps(description))
    return str(directory)


def test_a_directory_with_a_command_is_an_image(directory: Path) -> None:
    image = images.load(describe(directory, {"command": ["./container", "-v"], "environment": {"OWN": "1"}}))

    assert image.command == (str(directory / "container"), "-v")
    assert (image.model, image.model_python, image.environment) == (directory / "model", "", {"OWN": "1"})


def test_a_program_without_a_slash_in_its_name_is_left_to_path(directory: Path) -> None:
    assert images.load(describe(directory, {"command": ["java", "-jar"]})).command == ("java", "-jar")


@pytest.mark.parametrize(
    ("description", "told"),
    [
        ({}, "no model image at"),
        ({"environment": {}}, r'must have the command of a container, as {"command": \["./container"\]}'),
        ({"command": "./container"}, "must have the command"),
        ({"command": []}, "must have the command"),
        ({"command": ["./container", 1]}, "must have the command"),
        ({"command": ["./nothing"]}, "names a program that cannot be run: .*/nothing"),
        ({"command": ["./image.json"]}, "names a program that cannot be run: .*/image.json"),
    ],
)
def test_a_description_that_does_not_say_what_to_run_is_refused_with_what_to_write(
    directory: Path, description: object, told: str
) -> None:
    with pytest.raises(ClipperException, match=told):
        images.load(describe(directory, description))


def test_a_description_that_is_no_json_is_refused(directory: Path) -> None:
    (directory / "image.json").write_text("{")

    with pytest.raises(ClipperException, match=r"image\.json is no JSON"):
        images.load(str(directory))


def test_a_path_that_only_its_writer_understands_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(directory, {"command": ["./container"]})
    monkeypatch.chdir(directory.parent)

    with pytest.raises(ClipperException, match="give the whole path"):
        images.load(directory.name)


def test_an_image_with_a_container_of_its_own_does_not_say_what_is_installed(directory: Path) -> None:
    image = describe(directory, {"command": ["./container"]})

    with pytest.raises(ClipperException, match="does not say what is installed in it"):
        images.packages(image)

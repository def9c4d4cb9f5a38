"""What a user installs."""

import os
import zipfile
from email import message_from_bytes
from pathlib import Path

from tests.fixtures.interpreters import TREE

PACKAGES = {"clipper", "clipper_admin", "services"}


def test_a_wheel_holds_all_of_the_packages_and_nothing_else_but_the_license(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    sources = {
        str(file.relative_to(root))
        for root, package in ((TREE, "clipper_admin"), (TREE, "services"), (TREE / "protos" / "gen", "clipper"))
        # What lies elsewhere in the tree is linked to.
        for directory, _, files in os.walk(root / package, followlinks=True)
        for file in (Path(directory, name) for name in files)
        if file.parent.name != "__pycache__"
    }
    [information] = {name.split("/")[0] for name in names if name.split("/")[0] not in PACKAGES}

    assert {name for name in names if not name.startswith(information)} == sources
    assert {"clipper_admin/envoy.yaml.tmpl", "services/store/lua/learn.lua"} <= sources
    assert {"clipper_admin/protos/clipper/v1/input.proto", "clipper_admin/protos/google/api/http.proto"} <= sources
    assert f"{information}/licenses/LICENSE" in names


def test_a_wheel_says_its_license_and_that_docker_is_an_extra(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        told = message_from_bytes(archive.read(metadata))
    requirements = told.get_all("Requires-Dist") or []

    assert told["License-Expression"] == "Apache-2.0"
    assert [each.partition(";")[2].strip() for each in requirements if each.startswith("docker==")] == [
        'extra == "docker"'
    ]

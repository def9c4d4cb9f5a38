"""What is installed here decides which version of a package a model gets."""

import json
import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from clipper_admin import closures


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of installed packages."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def _install(site: Path, name: str, release: str, origin: dict[str, Any] | None = None, module: str = "") -> None:
    information = site / f"{name.replace('-', '_')}-{release}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n")
    (information / "top_level.txt").write_text(module or name)
    if origin is not None:
        (information / "direct_url.json").write_text(json.dumps(origin))


@pytest.mark.parametrize(
    ("named", "pinned"),
    [
        ("numpy", f"numpy=={version('numpy')}"),
        (" NumPy ", f"numpy=={version('numpy')}"),
        ("scikit_learn", f"scikit-learn=={version('scikit-learn')}"),
        ("sklearn", f"scikit-learn=={version('scikit-learn')}"),
        ("requests[socks]", f"requests[socks]=={version('requests')}"),
        ('requests; python_version > "3"', f'requests=={version("requests")}; python_version > "3"'),
    ],
)
def test_what_is_installed_here_is_pinned_by_its_packages_name(named: str, pinned: str) -> None:
    assert closures.pinned([named]) == [pinned]


@pytest.mark.parametrize(
    "named",
    [
        "numpy==1.26.4",
        "numpy>=2,<3",
        "numpy ~= 2.0",
        "numpy @ https://example.org/numpy.whl",
        "./wheels/mine.whl",
        "git+https://example.org/mine",
        "not-installed-anywhere",
        "os",
    ],
)
def test_what_has_a_version_or_is_not_installed_here_stays_as_it_is(named: str) -> None:
    assert closures.pinned([named]) == [named]


def test_a_version_of_a_build_is_pinned_to_what_an_index_has(site: Path) -> None:
    _install(site, "torchlike", "2.1.0+cu118")

    assert closures.pinned(["torchlike"]) == ["torchlike==2.1.0"]


@pytest.mark.parametrize(
    ("release", "origin", "told"),
    [
        ("1.0", {"url": "file://{site}", "dir_info": {"editable": True}}, "it was installed from {site}"),
        ("1.0", {"url": "https://example.org/mine", "vcs_info": {"vcs": "git"}}, "from https://example.org/mine"),
        ("1.1.dev3", None, "1.1.dev3 is not a release"),
    ],
    ids=["directory", "repository", "development"],
)
def test_what_no_index_has_comes_with_advice(
    site: Path, caplog: pytest.LogCaptureFixture, release: str, origin: dict[str, Any] | None, told: str
) -> None:
    caplog.set_level(logging.INFO, "clipper_admin")
    if origin is not None:
        origin = {**origin, "url": origin["url"].format(site=site)}
    _install(site, "mine", release, origin)

    assert closures.pinned(["mine"]) == ["mine"]
    assert told.format(site=site) in caplog.text
    assert "build a wheel of it" in caplog.text


def test_where_a_distributor_has_built_a_package_is_no_obstacle(site: Path) -> None:
    _install(site, "theirs", "1.0", {"url": "file:///home/of/a/distributor/work", "dir_info": {}})

    assert closures.pinned(["theirs"]) == ["theirs==1.0"]


def test_a_module_is_named_by_what_brings_it(site: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "clipper_admin")
    _install(site, "their-package", "2.0", module="their_module")

    assert closures.pinned(["their_module"]) == ["their-package==2.0"]
    assert "'their_module' is a module, and the package that brings it is their-package" in caplog.text


@pytest.mark.parametrize(
    ("asked", "whole"),
    [
        ([], ["scikit-learn", "skops"]),
        (["pandas"], ["pandas", "scikit-learn", "skops"]),
        (["Scikit_Learn<1.9", "skops[all] ~= 0.15"], ["Scikit_Learn<1.9", "skops[all] ~= 0.15"]),
        (["skops @ https://example.org/skops.whl"], ["skops @ https://example.org/skops.whl", "scikit-learn"]),
        (["./wheels/skops.whl"], ["./wheels/skops.whl", "scikit-learn", "skops"]),
    ],
)
def test_what_is_asked_for_goes_before_what_is_needed(asked: list[str], whole: list[str]) -> None:
    assert closures.together(asked, ["scikit-learn", "skops", "scikit-learn"], pin=False) == whole


def test_what_is_needed_is_pinned_as_what_is_asked_for() -> None:
    assert closures.together(["sklearn"], ["numpy", "scikit-learn"], pin=True) == [
        f"scikit-learn=={version('scikit-learn')}",
        f"numpy=={version('numpy')}",
    ]


def test_a_package_of_another_name_brings_a_module_too(site: Path) -> None:
    _install(site, "their-package", "2.0", module="their_module")

    assert closures.package_of("their_module", "usual") == "their-package"
    assert closures.package_of("absent_module", "usual") == "usual"
    assert closures.package_of("absent_module") == ""
    assert closures.package_of("sklearn", "scikit-learn") == "scikit-learn"

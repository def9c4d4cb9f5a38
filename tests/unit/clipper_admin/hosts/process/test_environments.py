"""Python environments of models."""

import json
import os
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

import pytest

from clipper_admin import ClipperException
from clipper_admin.cluster.host import ModelFiles
from clipper_admin.hosts.process import environments, images
from tests.fixtures.wheels import wheel

# Environments are made and pip is run, which on a busy machine takes minutes.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def greetings(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A wheel with a module `greetings` and one that hides an installed package of the services."""
    return wheel(tmp_path_factory.mktemp("wheels"), "greetings", orjson="HIDDEN = True\n")


def says(python: str, program: str) -> str:
    finished = subprocess.run([python, "-P", "-c", program], capture_output=True, text=True, check=True)
    return finished.stdout.strip()


def test_without_packages_the_services_interpreter_will_do(home: Path) -> None:
    made = environments.provide(home, [])

    assert (made.python, made.container_python) == (environments.services_python(), environments.services_python())


def test_an_environment_has_its_packages_before_those_of_the_services(home: Path, greetings: str) -> None:
    python = environments.provide(home, [greetings]).python

    assert says(python, "import greetings; print(greetings.HELLO)") == "hello"
    assert says(python, "import numpy, services.model_container; print('services too')") == "services too"
    assert says(python, "import orjson; print(orjson.HIDDEN)") == "True"


IMPORTED = """
import json, sys
from importlib.metadata import packages_distributions
before = {*sys.modules}
import services.model_container.model_process, services.model_container.server
packages = packages_distributions()
modules = {name.partition(".")[0] for name in sys.modules.keys() - before} & packages.keys()
print(json.dumps([package for module in modules for package in packages[module]]))
"""


def test_packages_have_to_agree_with_all_that_a_container_imports(home: Path, greetings: str) -> None:
    made = environments.provide(home, [greetings])

    constraints = (Path(made.python).parents[1] / "constraints.txt").read_text()
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in constraints.splitlines()}
    imported = {name.lower().replace("_", "-") for name in json.loads(says(environments.services_python(), IMPORTED))}
    # grpcio-tools, where it is, shares a directory with protobuf.
    assert imported - pinned <= {"clipper", "grpcio-tools"}
    assert "typing-extensions" in pinned


def test_a_lock_says_what_a_model_finds(home: Path, greetings: str) -> None:
    lock = environments.provide(home, [greetings]).lock

    assert lock is not None
    assert {"greetings==1.0", f"numpy=={version('numpy')}"} <= set(lock.read_text().splitlines())


def test_an_environment_is_made_once(home: Path, greetings: str, caplog: pytest.LogCaptureFixture) -> None:
    first = environments.provide(home, [greetings])
    caplog.clear()

    assert environments.provide(home, [greetings]) == first
    assert caplog.messages == []


def test_from_within_an_environment_the_services_run_in_their_own(home: Path, greetings: str) -> None:
    python = environments.provide(home, [greetings]).python

    program = "from clipper_admin.hosts.process import environments; print(environments.services_python())"
    assert says(python, program) == environments.services_python()


def test_a_package_that_cannot_be_installed_fails_with_pips_words_and_is_tried_again(home: Path) -> None:
    for _attempt in range(2):
        with pytest.raises(ClipperException, match=r"(?s)^Could not install /no/such\.whl:\n.*ERROR: "):
            environments.provide(home, ["/no/such.whl"])


@pytest.fixture(scope="module")
def without_pip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment that has the services' packages, and no pip."""
    environment = tmp_path_factory.mktemp("without-pip")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    [packages] = environment.glob("lib/python3*/site-packages")
    for installed in Path(sysconfig.get_path("purelib")).iterdir():
        if not installed.name.startswith("pip"):
            (packages / installed.name).symlink_to(installed)
    return str(environment / "bin" / "python")


PROVIDE = "import sys; from pathlib import Path; from clipper_admin.hosts.process import environments; "
PROVIDE += "print(environments.provide(Path(sys.argv[1]), sys.argv[2:]).python)"


def test_an_interpreter_without_pip_borrows_that_of_its_base(without_pip: str, greetings: str, tmp_path: Path) -> None:
    made = subprocess.run([without_pip, "-P", "-c", PROVIDE, str(tmp_path), greetings], capture_output=True, text=True)

    assert made.returncode == 0, made.stderr
    assert says(made.stdout.strip(), "import greetings, numpy; print(greetings.HELLO)") == "hello"


def test_where_neither_pip_nor_uv_is_to_be_had_it_is_said_how_to_get_one(
    without_pip: str, greetings: str, tmp_path: Path
) -> None:
    # Stands before that of every interpreter.
    (tmp_path / "pip.py").write_text("raise SystemExit(1)")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PATH": ""}

    command = [without_pip, "-P", "-c", PROVIDE, str(tmp_path), greetings]
    made = subprocess.run(command, env=environment, capture_output=True, text=True)

    assert made.returncode == 1
    assert f"pip, which {without_pip} has not got, or with uv, which is not on PATH" in made.stderr
    assert f"`{without_pip} -m ensurepip` brings pip" in made.stderr


def build(home: Path, model_data: Path) -> Path:
    files = ModelFiles("m", "1", model_data, (), "default", "", environment={"OWN": "1"})
    return images.build(home / "images", home, files, surroundings={})


def test_an_image_holds_the_files_and_the_interpreter(home: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "weights").mkdir(parents=True)
    (model / "weights" / "layer").write_text("1")

    built = build(home, model)
    again = build(home, model)

    image = images.load(str(built))
    assert (image.model / "weights" / "layer").read_text() == "1"
    assert (image.command[0], image.model_python) == (environments.services_python(), "")
    assert image.environment == {"OWN": "1"}
    assert again != built


def test_one_file_makes_an_image_too(home: Path, tmp_path: Path) -> None:
    (tmp_path / "func.pkl").write_bytes(b"pickle")

    image = images.load(str(build(home, tmp_path / "func.pkl")))

    assert (image.model / "func.pkl").read_bytes() == b"pickle"


def test_what_is_no_image_and_no_model_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ClipperException, match=r"no model image at .*build_model"):
        images.load(str(tmp_path))
    with pytest.raises(ClipperException, match="no model data at /nowhere"):
        build(home, Path("/nowhere"))

"""The contracts, as somebody gets them who writes a client or a model container in another language."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
PATH = f"{BIN}{os.pathsep}{os.environ['PATH']}"


def write(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BIN / "clipper"), "protos", str(directory)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that `clipper protos` wrote."""
    directory = tmp_path_factory.mktemp("away") / "new" / "protos"
    told = write(directory)
    assert (told.returncode, told.stderr) == (0, "")
    assert sorted(told.stdout.splitlines()) == sorted(str(file) for file in directory.rglob("*") if file.is_file())
    return directory


@pytest.mark.parametrize(
    ("language", "programs", "made"),
    [
        ("Python", ("python",), "clipper/v1/model_container_service_pb2_grpc.py"),
        ("C++", ("protoc", "grpc_cpp_plugin"), "clipper/v1/model_container_service.grpc.pb.h"),
        ("Java", ("protoc", "grpc_java_plugin"), "ai/clipper/v1/ModelContainerServiceGrpc.java"),
        ("Go", ("protoc", "protoc-gen-go", "protoc-gen-go-grpc"), "clipper/v1/model_container_service_grpc.pb.go"),
    ],
)
def test_the_command_of_a_language_needs_nothing_but_what_is_written(
    written: Path, language: str, programs: Sequence[str], made: str
) -> None:
    missing = [program for program in programs if shutil.which(program, path=PATH) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not on PATH")
    section = (written / "README.md").read_text().partition(f"**{language}**")[2]
    command = section.partition("```sh\n")[2].partition("```")[0]
    output = written / "out"
    output.mkdir()

    compiled = subprocess.run(
        ["sh", "-c", command], cwd=written, env={**os.environ, "PATH": PATH}, capture_output=True, text=True
    )

    assert (compiled.returncode, compiled.stderr) == (0, "")
    assert (output / made).exists()
    shutil.rmtree(output)


def test_writing_again_replaces_what_is_there(written: Path) -> None:
    contract = written / "clipper" / "v1" / "input.proto"
    original = contract.read_text()
    contract.write_text("an older one")

    assert write(written).returncode == 0

    assert contract.read_text() == original


def test_a_directory_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    told = write(tmp_path / "file")

    assert told.returncode == 1
    assert told.stderr == f"The contracts cannot be written to '{tmp_path / 'file'}': File exists\n"

"""The contracts, as somebody gets them who writes a client or a model container in another language."""

import subprocess
import sys
from pathlib import Path

import pytest

CLIPPER = [str(Path(sys.executable).parent / "clipper")]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that `clipper protos` wrote."""
    directory = tmp_path_factory.mktemp("away") / "new" / "protos"
    told = subprocess.run([*CLIPPER, "protos", str(directory)], capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, "")
    assert sorted(told.stdout.splitlines()) == sorted(str(file) for file in directory.rglob("*") if file.is_file())
    return directory


@pytest.mark.parametrize(
    ("language", "made"),
    [
        ("cpp", "clipper/v1/model_container_service.pb.h"),
        ("java", "ai/clipper/v1/PredictBatchRequest.java"),
        ("csharp", "ModelContainerService.cs"),
        ("python", "clipper/v1/model_container_service_pb2.py"),
        ("ruby", "clipper/v1/model_container_service_pb.rb"),
        ("php", "Clipper/V1/PredictBatchRequest.php"),
    ],
)
def test_what_is_written_is_all_that_protoc_needs(written: Path, tmp_path: Path, language: str, made: str) -> None:
    files = [str(file.relative_to(written)) for file in written.rglob("*.proto")]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--{language}_out={tmp_path}", *files]

    compiled = subprocess.run(protoc, cwd=written, capture_output=True, text=True)

    assert (compiled.returncode, compiled.stderr) == (0, "")
    assert (tmp_path / made).exists()


def test_writing_again_replaces_what_is_there(written: Path) -> None:
    contract = written / "clipper" / "v1" / "input.proto"
    original = contract.read_text()
    contract.write_text("an older one")

    assert subprocess.run([*CLIPPER, "protos", str(written)], capture_output=True).returncode == 0

    assert contract.read_text() == original


def test_a_directory_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    told = subprocess.run([*CLIPPER, "protos", str(tmp_path / "file")], capture_output=True, text=True)

    assert told.returncode == 1
    assert told.stderr == f"The contracts cannot be written to '{tmp_path / 'file'}': Not a directory\n"

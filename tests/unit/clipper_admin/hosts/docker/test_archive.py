"""What travels to the engine can be read there."""

import io
import tarfile
from pathlib import Path

from clipper_admin.hosts.docker import archive


def entries(content: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as opened:
        return {entry.name: entry for entry in opened}


def test_files_can_be_read_by_anybody_and_the_directory_is_its_owners() -> None:
    found = entries(archive.of_files({"envoy.yaml": b"admin: {}"}, owned_directory="data", owner=65534))

    assert (found["envoy.yaml"].size, found["envoy.yaml"].mode, found["envoy.yaml"].uid) == (9, 0o644, 0)
    assert (found["data"].isdir(), found["data"].mode, found["data"].uid) == (True, 0o755, 65534)


def test_the_content_of_a_file_comes_back_whatever_the_engine_cuts_it_into() -> None:
    sent = archive.of_files({"requirements.lock": b"numpy==2.4.6\n"})

    assert archive.content([sent[:700], sent[700:]]) == b"numpy==2.4.6\n"


def test_a_private_tree_becomes_readable_and_nobodys(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "weights").mkdir(parents=True, mode=0o700)
    (model / "weights" / "w.bin").write_bytes(b"w")
    (model / "weights" / "w.bin").chmod(0o600)
    (model / "run.sh").write_text("true")
    (model / "run.sh").chmod(0o700)
    buffer = io.BytesIO()

    with tarfile.open(fileobj=buffer, mode="w") as context:
        archive.add_tree(context, "model", model)

    found = entries(buffer.getvalue())
    assert {name: (entry.mode, entry.uid, entry.uname) for name, entry in found.items()} == {
        "model": (0o755, 0, ""),
        "model/weights": (0o755, 0, ""),
        "model/weights/w.bin": (0o644, 0, ""),
        "model/run.sh": (0o755, 0, ""),
    }

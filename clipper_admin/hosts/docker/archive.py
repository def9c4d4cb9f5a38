"""Tar archives, which is how files travel to the engine."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

_DIRECTORY_MODE = 0o755
_FILE_MODE = 0o644
_EXECUTABLE_MODE = 0o755


def of_files(files: Mapping[str, bytes], *, owned_directory: str = "", owner: int = 0) -> bytes:
    """An archive of files that anybody can read.

    Args:
        files: contents by path.
        owned_directory: the path of an empty directory to add; empty: none.
        owner: the number of the user whose it is.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            add(archive, path, content)
        if owned_directory:
            entry = tarfile.TarInfo(owned_directory)
            entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, _DIRECTORY_MODE, owner, owner
            archive.addfile(entry)
    return buffer.getvalue()


def add(archive: tarfile.TarFile, path: str, content: bytes) -> None:
    """Adds a file that anybody can read."""
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), _FILE_MODE
    archive.addfile(entry, io.BytesIO(content))


def add_tree(archive: tarfile.TarFile, path: str, source: Path) -> None:
    """Adds a directory, or a file, that anybody can read, whoever may read the source."""
    archive.add(source, path, filter=_readable)


def content(chunks: Iterable[bytes]) -> bytes:
    """What is in the only file of an archive."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        [file] = archive.getmembers()
        return (archive.extractfile(file) or io.BytesIO()).read()


def _readable(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    executable = entry.isfile() and entry.mode & 0o100
    entry.mode = _DIRECTORY_MODE if entry.isdir() else _EXECUTABLE_MODE if executable else _FILE_MODE
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry

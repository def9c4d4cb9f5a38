"""The log files of a cluster's processes, which do not grow without end.

A process writes to the end of a file that it has inherited and never opens another one. So the file stays, and what is
old moves out of it: from `redis.log` to `redis.log.1`, from there to `redis.log.2`, and so on. Nothing is lost on the
way where the file system can take a range out of a file, as ext4 and XFS can: what was copied is taken out, what is
being written meanwhile stays. Elsewhere the file is emptied, and what is written between the end of the copy and that,
some microseconds, is lost.
"""

import asyncio
import ctypes
import errno
import logging
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Self

from clipper_admin.exceptions import ClipperException

_LOG = logging.getLogger(__name__)
_INTERVAL_S = 1.0
# Of so many processes that have ended, as replicas of stopped versions have, the logs are kept.
_MOST_ENDED = 20
# The end of a log stays in its file, for who reads that alone.
_KEPT_BYTES = 65_536
_LEAST_FILE_BYTES = 4 * _KEPT_BYTES
_COPIED_AT_ONCE_BYTES = 1 << 20
# As linux/falloc.h has it.
_COLLAPSE_RANGE = 0x08
_CANNOT = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


@dataclass(frozen=True, slots=True)
class LogLimits:
    """How much is kept of each process's log.

    Attributes:
        file_bytes: from this size on, which is looked at once a second, a file is made small again.
        old_files: how many files with what was older are kept.
    """

    file_bytes: int = 16 << 20
    old_files: int = 3

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The limits that CLIPPER_LOG_FILE_BYTES and CLIPPER_LOG_OLD_FILES set.

        Raises:
            ClipperException: one of them is none.
        """
        return cls(
            _whole_number(environment, "CLIPPER_LOG_FILE_BYTES", cls().file_bytes, _LEAST_FILE_BYTES),
            _whole_number(environment, "CLIPPER_LOG_OLD_FILES", cls().old_files, 1),
        )


class LogFiles:
    """All logs in one directory."""

    def __init__(self, directory: Path, limits: LogLimits) -> None:
        self._directory = directory
        self._limits = limits

    async def keep_bounded(self) -> None:
        """Looks after them until it is cancelled."""
        while True:
            self.rotate()
            await asyncio.sleep(_INTERVAL_S)

    def clear_away(self, living: Collection[str]) -> None:
        """Removes the logs of processes that are not among the living, but for those that have ended last."""
        ended = [log for log in self._directory.glob("*.log") if log.stem not in living]
        try:
            for log in sorted(ended, key=lambda log: log.stat().st_mtime)[:-_MOST_ENDED]:
                for file in (log, *self._directory.glob(f"{log.name}.*")):
                    file.unlink(missing_ok=True)
        except OSError:
            _LOG.exception("old logs cannot be removed")

    def rotate(self) -> None:
        """Makes those small again that have grown too large."""
        for log in self._directory.glob("*.log"):
            try:
                if log.stat().st_size >= self._limits.file_bytes:
                    self._rotate(log)
            except OSError:
                # A full disk is no reason to stop watching over the processes.
                _LOG.exception("%s cannot be made smaller", log)

    def _rotate(self, log: Path) -> None:
        unfinished = self._directory / "unfinished"
        with log.open("r+b", buffering=0) as current, unfinished.open("wb", buffering=0) as old:
            old_bytes = _whole_blocks(current, os.fstat(current.fileno()).st_size - _KEPT_BYTES)
            _copy(current, old, old_bytes)
            self._shift(log, unfinished)
            if not _take_out(current, old_bytes):
                _copy(current, old)
                os.ftruncate(current.fileno(), 0)

    def _shift(self, log: Path, youngest: Path) -> None:
        names = [log.with_name(f"{log.name}.{number}") for number in range(1, self._limits.old_files + 1)]
        for younger, older in reversed(list(pairwise(names))):
            if younger.exists():
                younger.replace(older)
        youngest.replace(names[0])


def _whole_blocks(file: BinaryIO, size: int) -> int:
    """The most of these bytes that the file system can take out of a file."""
    block = os.fstatvfs(file.fileno()).f_bsize
    return size // block * block


def _copy(source: BinaryIO, target: BinaryIO, size: int | None = None) -> None:
    """Copies from where the last copy ended, so many bytes or all that is there."""
    while chunk := source.read(_COPIED_AT_ONCE_BYTES if size is None else min(size, _COPIED_AT_ONCE_BYTES)):
        target.write(chunk)
        size = None if size is None else size - len(chunk)


def _take_out(file: BinaryIO, size: int) -> bool:
    """Takes so many bytes out of the begin of a file; False when its file system cannot."""
    if _libc.fallocate(file.fileno(), _COLLAPSE_RANGE, 0, size) == 0:
        return True
    number = ctypes.get_errno()
    if number not in _CANNOT:
        raise OSError(number, os.strerror(number))
    return False


def _whole_number(environment: Mapping[str, str], name: str, default: int, least: int) -> int:
    text = environment.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and int(text) >= least):
        raise ClipperException(f"{name} must be a whole number from {least} on, not {text!r}")
    return int(text)

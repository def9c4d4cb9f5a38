"""Where a cluster keeps its files, and the lock that says it runs.

    {home}/environments/                virtual environments of models, shared by all clusters
    {home}/clusters/{cluster}/
        state.json                      what runs where; written by the supervisor alone
        supervisor.sock                 where the supervisor takes orders
        lock                            locked for as long as the supervisor lives
        logs/{process}.log              kept when the cluster stops, replaced when it starts again
        images/                         the models' files
        redis/, envoy/                  the store's and the edge's files

The home is CLIPPER_HOME, else ~/.clipper. Only its owner can read it.
"""

import fcntl
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from clipper_admin.exceptions import ClipperException

_LOG_TAIL_BYTES = 8_192
_LOG_TAIL_LINES = 30


def clipper_home(environment: Mapping[str, str] = os.environ) -> Path:
    """Where all clusters of this user keep their files.

    Raises:
        ClipperException: the user can keep none there.
    """
    configured = environment.get("CLIPPER_HOME")
    home = Path(configured).absolute() if configured else Path(os.path.expanduser("~/.clipper"))
    if not home.is_absolute() or not _can_be_written(home):
        raise ClipperException(
            f"Clusters of local processes keep their files in {home}, and you cannot write there. Set the environment "
            "variable CLIPPER_HOME to a directory of yours"
        )
    return home


class ClusterDirectory:
    """The files of one cluster."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state_file = root / "state.json"
        self.control_socket = root / "supervisor.sock"
        self.logs = root / "logs"
        self.images = root / "images"
        self.redis = root / "redis"
        self.envoy = root / "envoy"
        self._lock_file = root / "lock"

    def create(self) -> None:
        """Makes the directory, for its owner only."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def prepare(self) -> None:
        """Makes the sub-directories of a cluster that is about to start, without what an earlier one left."""
        self.remove_state()
        shutil.rmtree(self.logs, ignore_errors=True)
        for directory in (self.logs, self.redis, self.envoy):
            directory.mkdir()

    def remove_state(self) -> None:
        """Removes all that a stopped cluster no longer needs; its logs stay."""
        for directory in (self.redis, self.envoy):
            shutil.rmtree(directory, ignore_errors=True)
        for file in (self.control_socket, self.state_file):
            file.unlink(missing_ok=True)

    def remove_images(self) -> None:
        """Removes the models' files."""
        shutil.rmtree(self.images, ignore_errors=True)

    def try_lock(self) -> int | None:
        """Locks the cluster for whoever holds the returned file descriptor; None when somebody holds it already."""
        descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def log_file(self, process: str) -> Path:
        """Where a process's output goes."""
        return self.logs / f"{process}.log"

    def log_tail(self, process: str) -> str:
        """The last lines that a process wrote."""
        try:
            with self.log_file(process).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
                text = log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-_LOG_TAIL_LINES:])


def _can_be_written(directory: Path) -> bool:
    """Whether this user can keep files in a directory that there is or is to be."""
    existing = next(path for path in (directory, *directory.parents) if os.path.exists(path))
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)

"""Where a cluster keeps its files, and the lock that says it runs.

    {home}/environments/                virtual environments of models, shared by all clusters
    {home}/builds.lock                  shared by those who build images
    {home}/clusters/{cluster}/
        state.json                      what runs where; written by who holds the lock
        supervisor.sock                 where the supervisor takes orders
        lock                            locked for as long as the supervisor lives
        claims/{purpose}                locked by the one program that deploys or scales a version
        logs/{process}.log              of the cluster's present life, or of its last
        logs/{process}.log.{number}     what has become too old for that, the oldest last
        logs-before/{process}.log       of the life before that
        images/                         the models' files
        redis/, envoy/                  the store's and the edge's files

A life begins with start_clipper and ends with the last process, however that comes. What is here outlives it: the next
one goes on with it. Only stop_all removes it, but for the logs.

The home is CLIPPER_HOME, else ~/.clipper. Only its owner can read it.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
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


def flush(path: Path) -> None:
    """Returns when a file's content, or a directory's entries, would outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class ClusterDirectory:
    """The files of one cluster."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state_file = root / "state.json"
        self.control_socket = root / "supervisor.sock"
        self.logs = root / "logs"
        self._logs_before = root / "logs-before"
        self.images = root / "images"
        self.redis = root / "redis"
        self.envoy = root / "envoy"
        self._lock_file = root / "lock"
        self._claims = root / "claims"

    def create(self) -> None:
        """Makes the directory, for its owner only."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def prepare(self) -> None:
        """Makes the sub-directories of a cluster that is about to start; what an earlier life left in them stays."""
        for directory in (self.logs, self.redis, self.envoy):
            directory.mkdir(exist_ok=True)

    def begin_logs(self) -> None:
        """Puts the logs of the life that has ended aside, in place of those of the one before."""
        if any(self.logs.iterdir()):
            shutil.rmtree(self._logs_before, ignore_errors=True)
            self.logs.rename(self._logs_before)
            self.logs.mkdir()

    def put_state_aside(self) -> Path:
        """Keeps a state that cannot be read under another name, which is returned."""
        aside = self.state_file.with_name(f"{self.state_file.name}.unreadable-{time.time_ns()}")
        self.state_file.rename(aside)
        return aside

    def remove_state(self) -> None:
        """Removes all that a cluster which nobody wants any more has left; its logs stay."""
        for directory in (self.redis, self.envoy, self._claims):
            shutil.rmtree(directory, ignore_errors=True)
        for file in (self.control_socket, *self.root.glob(f"{self.state_file.name}*")):
            file.unlink(missing_ok=True)

    def runs(self, image: Path) -> bool:
        """Whether the cluster has a replica, running or not, of any cluster's image."""
        try:
            return json.dumps(str(image)).strip('"') in self.state_file.read_text()
        except OSError:  # there is no such cluster
            return False

    def all_images(self) -> list[Path]:
        """The models' files, image by image."""
        return sorted(self.images.glob("*"))

    def remove_images(self) -> None:
        """Removes the models' files, but for those that replicas of another cluster have."""
        others = [ClusterDirectory(root) for root in self.root.parent.iterdir() if root != self.root]
        for image in self.all_images():
            if not any(other.runs(image) for other in others):
                shutil.rmtree(image, ignore_errors=True)
        with suppress(OSError):
            self.images.rmdir()

    def try_lock(self) -> int | None:
        """Locks the cluster for whoever holds the returned file descriptor; None when somebody holds it already."""
        descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def claim_file(self, purpose: str) -> Path:
        """What is locked by whoever does what one program at a time may do in the running cluster."""
        self._claims.mkdir(mode=0o700, exist_ok=True)
        return self._claims / purpose

    def log_file(self, process: str) -> Path:
        """Where a process's output goes."""
        return self.logs / f"{process}.log"

    def log_files(self) -> list[Path]:
        """All that is kept of what the processes wrote."""
        return sorted(self.logs.glob("*.log*"))

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

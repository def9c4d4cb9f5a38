"""`python -m clipper_admin.hosts.process ROOT LOCK`: detaches and supervises the cluster whose files lie in ROOT.

LOCK is the inherited descriptor of the cluster's lock, held from here on. The command returns once the cluster is taken
over and orders are accepted.
"""

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import TextIO

from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.identity import ProcessIdentity
from clipper_admin.hosts.process import control, open_files
from clipper_admin.hosts.process.directory import ClusterDirectory
from clipper_admin.hosts.process.log_files import LogFiles, LogLimits
from clipper_admin.hosts.process.state import ClusterState
from clipper_admin.hosts.process.supervisor import Supervisor

_LOG = logging.getLogger(__name__)


def main() -> None:
    """Detaches, then supervises until shutdown."""
    directory = ClusterDirectory(Path(sys.argv[1]))
    os.set_inheritable(int(sys.argv[2]), False)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    found = ClusterState.read(directory.state_file)
    if found is None:
        sys.exit(f"{directory.state_file} is missing")
    log_files = LogFiles(directory.logs, _log_limits())
    # That of a supervisor which was killed.
    directory.control_socket.unlink(missing_ok=True)
    listener = control.listen(directory.control_socket)
    taken_over = _detach()
    os.chdir(directory.root)
    open_files.allow_many()
    identity = ProcessIdentity.of(os.getpid())
    if identity is None:
        sys.exit("/proc is missing")
    supervisor = Supervisor(directory, log_files, found, identity)
    with taken_over:
        taken_over.write("\n")
    asyncio.run(supervisor.run(listener, control.serve))
    _LOG.info("the supervisor ends")


def _log_limits() -> LogLimits:
    try:
        return LogLimits.from_environment()
    except ClipperException as error:
        sys.exit(str(error))


def _detach() -> TextIO:
    """Goes on in a process of its own; the command returns when something is written to the returned file."""
    waiting, taken_over = os.pipe()
    if os.fork():
        os.close(taken_over)
        os._exit(0 if os.read(waiting, 1) else 1)
    os.close(waiting)
    os.setsid()
    return os.fdopen(taken_over, "w")


if __name__ == "__main__":
    main()

"""`python -m clipper_admin.local ROOT LOCK`: detaches and supervises the cluster whose files lie in ROOT.

LOCK is the inherited descriptor of the cluster's lock, held from here on. The command returns once orders are taken.
"""

import asyncio
import logging
import os
import resource
import sys
from pathlib import Path

from clipper_admin.local import control
from clipper_admin.local.directory import ClusterDirectory
from clipper_admin.local.identity import ProcessIdentity
from clipper_admin.local.state import ClusterState
from clipper_admin.local.supervisor import Supervisor

_LOG = logging.getLogger(__name__)
# Each connection is an open file of Envoy and of a service.
_OPEN_FILES = 65_536


def main() -> None:
    """Detaches, then supervises until shutdown."""
    directory = ClusterDirectory(Path(sys.argv[1]))
    os.set_inheritable(int(sys.argv[2]), False)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    planned = ClusterState.read(directory.state_file)
    if planned is None:
        sys.exit(f"{directory.state_file} is missing")
    listener = control.listen(directory.control_socket)
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir(directory.root)
    _allow_many_connections()
    identity = ProcessIdentity.of(os.getpid())
    if identity is None:
        sys.exit("/proc is missing")
    asyncio.run(Supervisor(directory, planned, identity).run(listener, control.serve))
    _LOG.info("everything has stopped")


def _allow_many_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


if __name__ == "__main__":
    main()

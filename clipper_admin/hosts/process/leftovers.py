"""What still runs of a cluster whose state does not tell: known by its output, which goes to the cluster's logs."""

import os
from pathlib import Path

from clipper_admin.hosts.identity import ProcessIdentity

_PROCESSES = Path("/proc")
_OUTPUT = "fd/1"


def writing_to(logs: Path) -> list[ProcessIdentity]:
    """The processes of this user whose output goes to a file in the directory `logs`."""
    wanted = logs.resolve()
    pids = (int(entry.name) for entry in _PROCESSES.iterdir() if entry.name.isdecimal())
    found = (ProcessIdentity.of(pid) for pid in pids if _output(pid).parent == wanted)
    return [identity for identity in found if identity is not None]


def _output(pid: int) -> Path:
    try:
        return Path(os.readlink(_PROCESSES / str(pid) / _OUTPUT))
    except OSError:  # it is gone, or somebody else's
        return Path()

"""Starts Clipper clusters, deploys models to them and administers them.

>>> clipper_conn = ClipperConnection(ProcessContainerManager())
>>> clipper_conn.start_clipper()
"""

from clipper_admin import deployers, logs
from clipper_admin.connection import ClipperConnection
from clipper_admin.docker_container_manager import DockerContainerManager
from clipper_admin.exceptions import ClipperException, UnconnectedException
from clipper_admin.process_container_manager import ProcessContainerManager
from clipper_admin.release import __registry__, __version__

__all__ = [
    "ClipperConnection",
    "ClipperException",
    "DockerContainerManager",
    "ProcessContainerManager",
    "UnconnectedException",
    "__registry__",
    "__version__",
    "deployers",
]

logs.configure()

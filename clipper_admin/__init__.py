"""Starts Clipper clusters, deploys models to them and administers them.

>>> clipper_conn = ClipperConnection(ProcessContainerManager())
>>> clipper_conn.start_clipper()
"""

from clipper_admin import deployers, logs
from clipper_admin.clipper import Clipper
from clipper_admin.connection import ClipperConnection
from clipper_admin.docker_container_manager import DockerContainerManager
from clipper_admin.exceptions import ClipperException, ClipperManagerException, UnconnectedException
from clipper_admin.hosts.docker.resources import Resources
from clipper_admin.process_container_manager import ProcessContainerManager
from clipper_admin.release import __registry__, __version__

__all__ = [
    "Clipper",
    "ClipperConnection",
    "ClipperException",
    "ClipperManagerException",
    "DockerContainerManager",
    "ProcessContainerManager",
    "Resources",
    "UnconnectedException",
    "__registry__",
    "__version__",
    "deployers",
]

logs.configure()

"""What a cluster is started with where nobody says anything else."""

from clipper_admin.release import __registry__, __version__

QUERY_IMAGE = f"{__registry__}/query_frontend:{__version__}"
MANAGEMENT_IMAGE = f"{__registry__}/management_frontend:{__version__}"
EXPORTER_IMAGE = f"{__registry__}/frontend-exporter:{__version__}"
QUERY_SERVICES = 1
CACHE_SIZE_BYTES = 32 * 1024 * 1024

QUERY_PORT = 1337
MANAGEMENT_PORT = 1338
METRICS_PORT = 1390
PROMETHEUS_PORT = 9090

BY_ARGUMENT = {
    "query_frontend_image": QUERY_IMAGE,
    "mgmt_frontend_image": MANAGEMENT_IMAGE,
    "num_frontend_replicas": QUERY_SERVICES,
    "cache_size": CACHE_SIZE_BYTES,
    "query_port": QUERY_PORT,
    "clipper_query_port": QUERY_PORT,
    "management_port": MANAGEMENT_PORT,
    "clipper_management_port": MANAGEMENT_PORT,
    "metrics_port": METRICS_PORT,
    "prometheus_port": PROMETHEUS_PORT,
}
"""The same by the names that users know them by, of one container manager or another."""

"""What a cluster has registered, as whoever wants to free an image has to know it."""

import requests

from clipper_admin.admin_client import AdminClient
from clipper_admin.exceptions import ClipperException


def images(admin_address: str) -> set[str] | None:
    """The names of the images that a running cluster's versions have; None while it does not tell.

    Args:
        admin_address: host:port of its administration.
    """
    try:
        versions = AdminClient(lambda: admin_address).post("get_all_models", {"verbose": True})
    except (ClipperException, requests.RequestException):
        return None
    return {version["container_name"] for version in versions}

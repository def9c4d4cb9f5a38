"""How a cluster is spoken to: directly, whatever proxies the environment names for the rest of the world."""

from collections.abc import Sequence
from typing import Any

import grpc
import requests


def channel(address: str, options: Sequence[tuple[str, int]] = ()) -> grpc.Channel:
    """A gRPC channel to host:port, with options of grpcio's core."""
    return grpc.insecure_channel(address, (("grpc.enable_http_proxy", 0), *options))


def get(url: str, timeout_s: float) -> requests.Response:
    """The answer to a GET.

    Raises:
        requests.RequestException: there is none.
    """
    return _send("GET", url, timeout_s)


def post(url: str, body: Any, timeout_s: float) -> requests.Response:
    """The answer to a POST of JSON.

    Raises:
        requests.RequestException: there is none.
    """
    return _send("POST", url, timeout_s, json=body)


def _send(method: str, url: str, timeout_s: float, **content: Any) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, timeout=timeout_s, **content)

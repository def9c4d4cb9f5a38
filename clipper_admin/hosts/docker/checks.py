"""Checks of models in containers of their own, of which nothing is left: each ends with whoever asked for it."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.utils import socket as frames

from clipper_admin.cluster import check
from clipper_admin.cluster.check import Check, Findings
from clipper_admin.hosts.docker.containers import Containers
from clipper_admin.hosts.docker.engine import explained
from clipper_admin.hosts.docker.specification import ContainerSpec

_STREAMS = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
# From the end of a container to what the engine says of it.
_ENGINE_TIMEOUT_S = 30.0


def outputs(client: docker.DockerClient, containers: Containers, spec: ContainerSpec, question: Check) -> list[Any]:
    """What a model answers the sample; without one nothing.

    Args:
        client: of the engine.
        containers: the cluster's.
        spec: what checks the model.
        question: what is to be checked.

    Raises:
        ClipperException: the model failed, or the engine refused.
    """
    container = containers.make(spec)
    findings = Findings(question)
    patience_s = question.timeout_s + check.GRACE_S
    with ThreadPoolExecutor(1, thread_name_prefix="end of a check") as pool:
        # Asked for before it has begun, since afterwards nothing is left of it.
        removed = pool.submit(container.wait, timeout=patience_s + _ENGINE_TIMEOUT_S, condition="removed")
        try:
            with explained(f"check a model in {spec.name}"), _attached(client, container) as streams:
                container.start()
                with _killed_after(container, patience_s):
                    _converse(streams, question, findings)
        finally:
            containers.remove([container], graceful=False)
    return findings.outputs(_ending(removed))


@contextmanager
def _attached(client: docker.DockerClient, container: Container) -> Iterator[Any]:
    streams = client.api.attach_socket(str(container.id), _STREAMS)
    # Closing the streams alone leaves the connection open.
    with closing(streams._response):
        yield streams


def _converse(streams: Any, question: Check, findings: Findings) -> None:
    # Who has ended before it has read everything says itself why.
    with suppress(BrokenPipeError, ConnectionResetError):
        # By SSH the streams are no socket's.
        getattr(streams, "_sock", streams).sendall(question.request())
    for stream, chunk in frames.frames_iter(streams, tty=False):  # type: ignore[no-untyped-call]
        (findings.hear if stream == frames.STDOUT else findings.note)(chunk)
        if findings.complete:
            return


@contextmanager
def _killed_after(container: Container, seconds: float) -> Iterator[None]:
    def kill() -> None:
        # It may just have ended.
        with suppress(APIError):
            container.kill()

    timer = threading.Timer(seconds, kill)
    timer.name = f"end of {container.name}"
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _ending(removed: Future[Any]) -> str:
    try:
        return check.how_it_ended(removed.result()["StatusCode"])
    except NotFound:  # it was gone before the engine could be asked
        return "ended"

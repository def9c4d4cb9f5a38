"""Deploys Python functions: from a batch of inputs to a list with one output each."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clipper_admin import closures
from clipper_admin.connection import ClipperConnection
from clipper_admin.naming import ADAPTIVE_BATCH_SIZE

_LOG = logging.getLogger(__name__)


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    func: Callable[..., Any],
    default_output: str = "None",
    version: str | int = 1,
    slo_micros: int = 3_000_000,
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    base_image: str = "default",
    num_replicas: int = 1,
    batch_size: int = ADAPTIVE_BATCH_SIZE,
    pkgs_to_install: Sequence[str] | None = None,
    *,
    batching_policy: str | None = None,
    batch_delay_micros: int = 0,
    files: Sequence[str | os.PathLike[str]] = (),
    env: Mapping[str, str] | None = None,
    pin_packages: bool = True,
    check: bool = True,
    sample_input: Any = None,
) -> None:
    """Registers an application, deploys a function as a model of the same name and links the two.

    Args:
        clipper_conn: a connection to the cluster.
        name: of the application and of the model.
        input_type: "bytes", "integers", "floats", "doubles" or "strings".
        func: the model, as for deploy_python_closure.
        default_output: answered when there is no prediction in time.
        version: of the model.
        slo_micros: the latency objective in microseconds.
        labels: free words.
        registry: where images are pushed, for container managers that do.
        base_image: what images are based on, likewise.
        num_replicas: how many replicas to start.
        batch_size: the largest batch; -1: adapted to the latency objective.
        pkgs_to_install: what the function imports, as pip takes it.
        batching_policy: how large batches are chosen, as for deploy_model.
        batch_delay_micros: how many microseconds the first query of a batch may wait for others.
        files: what the function reads, as for deploy_python_closure.
        env: what it finds in its environment, likewise.
        pin_packages: which versions are installed, likewise.
        check: whether it is checked before it is shipped, likewise.
        sample_input: what it is asked then, likewise.
    """
    clipper_conn.register_application(name, input_type, default_output, slo_micros)
    deploy_python_closure(
        clipper_conn,
        name,
        version,
        input_type,
        func,
        base_image,
        labels,
        registry,
        num_replicas,
        batch_size,
        pkgs_to_install,
        batching_policy=batching_policy,
        batch_delay_micros=batch_delay_micros,
        files=files,
        env=env,
        pin_packages=pin_packages,
        check=check,
        sample_input=sample_input,
    )
    clipper_conn.link_model_to_app(name, name)


def deploy_python_closure(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[..., Any],
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = ADAPTIVE_BATCH_SIZE,
    pkgs_to_install: Sequence[str] | None = None,
    *,
    batching_policy: str | None = None,
    batch_delay_micros: int = 0,
    files: Sequence[str | os.PathLike[str]] = (),
    env: Mapping[str, str] | None = None,
    pin_packages: bool = True,
    check: bool = True,
    sample_input: Any = None,
) -> None:
    """Deploys a function, with everything it refers to, as a model version.

    Args:
        clipper_conn: a connection to the cluster.
        name: the model's name.
        version: its version.
        input_type: "bytes", "integers", "floats", "doubles" or "strings".
        func: takes a batch of inputs (an array of numbers, or a list of str) and returns one output an input.
        base_image: what the image is based on, for container managers that use images.
        labels: free words.
        registry: where the image is pushed, likewise.
        num_replicas: how many replicas to start.
        batch_size: the largest batch; -1: adapted to the applications' latency objectives.
        pkgs_to_install: what the function imports, as pip takes it.
        batching_policy: how large batches are chosen, as for deploy_model.
        batch_delay_micros: how many microseconds the first query of a batch may wait for others.
        files: files and directories that the function reads, by paths relative to the working directory; by these
            paths the function finds them. They are to be read only.
        env: environment variables of the model's process. Those of this process do not travel.
        pin_packages: whether packages that pkgs_to_install names without a version are installed in the one that is
            installed here.
        check: whether the function is loaded, warmed up and asked `sample_input`, in a process of its own with the
            model's environment, before anything is started or registered.
        sample_input: an input as a client would send it; None: the function is not asked.

    Raises:
        ClipperException: the function, or what it is to take along, cannot travel; it does not pass its check, with
            what a container would say of it; or as build_and_deploy_model.
    """
    packages = closures.pinned(pkgs_to_install or ()) if pin_packages else pkgs_to_install
    with closures.saved(func, files) as model_data:
        _LOG.info("Python closure saved")
        clipper_conn.build_and_deploy_model(
            name,
            version,
            input_type,
            str(model_data),
            base_image,
            labels,
            registry,
            num_replicas,
            batch_size,
            packages,
            batching_policy=batching_policy,
            batch_delay_micros=batch_delay_micros,
            env=env,
            check=check,
            sample_input=sample_input,
        )

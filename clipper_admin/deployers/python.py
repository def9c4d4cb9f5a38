"""Deploys Python functions: from a batch of inputs to a list with one output each."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from clipper_admin import closures
from clipper_admin.cluster.replicas import LOAD_TIMEOUT_S
from clipper_admin.connection import ClipperConnection
from clipper_admin.deployers.endpoint import endpoint
from clipper_admin.naming import ADAPTIVE_BATCH_SIZE, check_input_names

_LOG = logging.getLogger(__name__)


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    func: Callable[..., Any],
    default_output: str = "None",
    version: str | int | None = 1,
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
    exist_ok: bool = False,
    replace: bool = False,
    load_timeout_s: float = LOAD_TIMEOUT_S,
    input_names: Iterable[str] = (),
) -> str:
    """Registers an application, deploys a function as a model of the same name and links the two.

    Args:
        clipper_conn: a connection to the cluster.
        name: of the application and of the model.
        input_type: "bytes", "integers", "floats", "doubles" or "strings".
        func: the model, as for deploy_python_closure.
        default_output: answered when there is no prediction in time.
        version: of the model; None: its next, as for deploy_model.
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
        exist_ok: whether all this may be there already, if it is the same; then nothing happens.
        replace: whether the function takes the place of another that is deployed as this version.
        load_timeout_s: how many seconds each replica may take until it has loaded the model and serves.
        input_names: what the elements of an input are called, as for deploy_python_closure; the application's schema
            has these names, so that an input in JSON may be an object.

    Returns:
        The model's version.

    Raises:
        ClipperException: something is there already, with what differs; or it failed, and then nothing is left of it.
    """
    names = check_input_names(input_names, input_type)
    with endpoint(clipper_conn, name, input_type, default_output, slo_micros, names, exist_ok=exist_ok):
        return deploy_python_closure(
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
            exist_ok=exist_ok,
            replace=replace,
            load_timeout_s=load_timeout_s,
            input_names=names,
        )


def deploy_python_closure(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int | None,
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
    exist_ok: bool = False,
    replace: bool = False,
    load_timeout_s: float = LOAD_TIMEOUT_S,
    input_names: Iterable[str] = (),
) -> str:
    """Deploys a function, with everything it refers to, as a model version.

    What takes long to make, or cannot travel, is made in the container: `func` may be a class, which is made there
    without arguments, and whose method `predict` is the function. A method `warm_up`, of it or of an object, is called
    there before the replica serves, and so before anybody asks it.

    Args:
        clipper_conn: a connection to the cluster.
        name: the model's name.
        version: its version; None: the next, as for deploy_model.
        input_type: "bytes", "integers", "floats", "doubles" or "strings".
        func: takes a batch of inputs (an array of numbers, or a list of str) and returns one output an input; or an
            object, or a class of objects, with such a method `predict`. With `input_names` it takes a DataFrame.
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
        sample_input: an input as a client would send it, which may be a dict if there are `input_names`; None: the
            function is not asked.
        exist_ok: whether the version may be registered already, if its function is the same and its options are, too;
            then nothing happens, but that replicas are started where there are fewer. A function is the same if what it
            does and refers to is, wherever it stands.
        replace: whether the function takes the place of another that is deployed as this version, and serves until
            this one does.
        load_timeout_s: how many seconds each replica may take until it has loaded the model, `warm_up` included, and
            serves.
        input_names: what the elements of an input are called, in order; for numbers alone. The function then gets each
            batch as a `pandas.DataFrame` with these columns, or, where the model's environment has no pandas, as a dict
            of arrays by name. An application whose schema has names can be linked if they are the same.

    Returns:
        The version.

    Raises:
        ClipperException: the version is registered already, with what differs and what to do; the function, or what it
            is to take along, cannot travel; it does not pass its check, with what a container would say of it; or a
            replica could not load it, with the end of its log.
    """
    packages = closures.pinned(pkgs_to_install or ()) if pin_packages else pkgs_to_install
    names = check_input_names(input_names, input_type)
    with closures.saved(func, files, names) as model_data:
        _LOG.info("Python closure saved")
        return clipper_conn.build_and_deploy_model(
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
            exist_ok=exist_ok,
            replace=replace,
            load_timeout_s=load_timeout_s,
            input_names=names,
        )

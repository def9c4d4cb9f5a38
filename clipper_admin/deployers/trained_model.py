"""Models as a framework has trained them: how each is saved, loaded and asked, and the one way to deploy them all.

A framework's module says these things about its own models, as a `TrainedModel`, and leaves the rest to `deploy`. What
it has for the container, it has as functions of its own, which travel in the function's file; so these refer to nothing
that is imported outside of them, but for the standard library and numpy. Nothing of a framework is imported before a
model of its is deployed.
"""

import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypedDict, Unpack

from clipper_admin import closures, samples
from clipper_admin.connection import ClipperConnection
from clipper_admin.deployers import loaded_model
from clipper_admin.deployers.endpoint import endpoint
from clipper_admin.deployers.loaded_model import LoadedModel
from clipper_admin.exceptions import ClipperException
from clipper_admin.naming import ADAPTIVE_BATCH_SIZE, check_input_names, input_type_name

# A replica computes on one thread; of more processors more replicas make more.
_THREADS = {"OMP_NUM_THREADS": "1"}
_DTYPES = {"bytes": "i1", "integers": "<i4", "floats": "<f4", "doubles": "<f8"}


class Handed(TypedDict, total=False):
    """What is handed on to ClipperConnection.build_and_deploy_model.

    Attributes:
        batching_policy: how large batches are chosen, as for deploy_model.
        batch_delay_micros: how many microseconds the first query of a batch may wait for others.
        exist_ok: whether the version may be registered already, if it is the same; then nothing happens.
        replace: whether it takes the place of another that is deployed as this version.
        load_timeout_s: how many seconds each replica may take until it has loaded the model and serves.
    """

    batching_policy: str | None
    batch_delay_micros: int
    exist_ok: bool
    replace: bool
    load_timeout_s: float


class NamedOptions(Handed, total=False):
    """What is given by name to every deployer of trained models; see also python.deploy_python_closure.

    Attributes:
        files: what the function reads beside the model, by paths relative to the working directory.
        env: environment variables of the model's process. OMP_NUM_THREADS is 1 unless it is among them.
        pin_packages: whether packages without a version, the framework's included, are installed in the version that
            is installed here.
        check: whether the model is loaded, and asked the sample, in a process of its own before anything is started.
        sample_input: an input as a client would send it; each replica is asked it once before it serves.
        input_names: what the elements of an input are called, in order; the model then gets a `pandas.DataFrame`.
    """

    files: Sequence[str | os.PathLike[str]]
    env: Mapping[str, str] | None
    pin_packages: bool
    check: bool
    sample_input: Any
    input_names: Iterable[str]


class Options(NamedOptions, total=False):
    """The former, and what the deployers that the original had take by position, too.

    Attributes:
        base_image: what the image is based on, for container managers that use images.
        labels: free words.
        registry: where the image is pushed, for container managers that do.
        num_replicas: how many replicas to start.
        batch_size: the largest batch; -1: adapted to the applications' latency objectives.
        pkgs_to_install: what the model needs beside its framework, or another version of that, as pip takes it.
    """

    base_image: str
    labels: Sequence[str] | None
    registry: str | None
    num_replicas: int
    batch_size: int
    pkgs_to_install: Sequence[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """A model that a framework has trained.

    Attributes:
        framework: the framework's name, for people.
        save: writes it into a directory, in the framework's own format.
        load: makes it, in the container, of what lies in that directory; travels.
        func: takes what was loaded and a batch of inputs, and returns one output an input; travels.
        packages: what it needs there, as pip takes it.
        module: where `load`, and perhaps `func`, are from.
        packages_for_names: what it needs besides where the elements of an input have names, so that they come in a
            form that it takes; empty: a dict of arrays is one.
    """

    framework: str
    save: Callable[[Path], object]
    load: Callable[[str], Any]
    func: Callable[[Any, Any], Any]
    packages: Sequence[str]
    module: str
    packages_for_names: Sequence[str] = ("pandas",)

    def saved_with(self) -> dict[str, str]:
        """The packages that have saved it, with their versions."""
        return {package: version(package) for package in self.packages if _is_installed(package)}


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    model: TrainedModel,
    default_output: str,
    version: str | int | None,
    slo_micros: int,
    **options: Unpack[Options],
) -> str:
    """Registers an application, deploys a trained model of the same name and links the two; all of it or nothing.

    Args:
        clipper_conn: a connection to the cluster.
        name: of the application and of the model.
        input_type: "bytes", "integers", "floats", "doubles" or "strings".
        model: the model.
        default_output: answered when there is no prediction in time.
        version: of the model; None: its next.
        slo_micros: the latency objective in microseconds.
        options: see Options.

    Returns:
        The model's version.

    Raises:
        ClipperException: something is there already, with what differs; or it failed, and then nothing is left of it.
    """
    names = check_input_names(options.get("input_names", ()), input_type)
    options["input_names"] = names
    exist_ok = options.get("exist_ok", False)
    with endpoint(clipper_conn, name, input_type, default_output, slo_micros, names, exist_ok=exist_ok):
        return deploy(clipper_conn, name, version, input_type, model, **options)


def deploy(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int | None,
    input_type: str,
    model: TrainedModel,
    *,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = ADAPTIVE_BATCH_SIZE,
    pkgs_to_install: Sequence[str] | None = None,
    files: Sequence[str | os.PathLike[str]] = (),
    env: Mapping[str, str] | None = None,
    pin_packages: bool = True,
    check: bool = True,
    sample_input: Any = None,
    input_names: Iterable[str] = (),
    **handed: Unpack[Handed],
) -> str:
    """Deploys a trained model: saved as its framework does, with the packages of this environment.

    Args:
        clipper_conn: a connection to the cluster.
        name: the model's name.
        version: its version; None: the next.
        input_type: "bytes", "integers", "floats", "doubles" or "strings".
        model: the model.
        base_image: see Options, as for all that follows.
        labels: likewise.
        registry: likewise.
        num_replicas: likewise.
        batch_size: likewise.
        pkgs_to_install: likewise.
        files: likewise.
        env: likewise.
        pin_packages: likewise.
        check: likewise.
        sample_input: likewise.
        input_names: likewise.
        handed: likewise.

    Returns:
        The version.

    Raises:
        ClipperException: the version is registered already, the model cannot be saved, it does not pass its check, or a
            replica could not load it; with the cause and what to do, and nothing is left of it.
    """
    names = check_input_names(input_names, input_type)
    needed = [*model.packages, *(model.packages_for_names if names else ())]
    served = LoadedModel(
        model.framework, model.load, model.func, _sample(sample_input, input_type, names), model.saved_with()
    )
    travelling = (loaded_model, sys.modules[model.module])
    with closures.saved(
        served, files, names, by_value=travelling, beside=functools.partial(_save, model)
    ) as model_data:
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
            closures.together(pkgs_to_install or (), needed, pin=pin_packages),
            env={**_THREADS, **(env or {})},
            check=check,
            sample_input=sample_input,
            input_names=names,
            **handed,
        )


def imported(module: str, package: str, framework: str) -> Any:
    """A module that a framework's models are saved with.

    Raises:
        ClipperException: it is not installed here.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in (module, module.partition(".")[0]):
            raise
        raise ClipperException(
            f"Models of {framework} are deployed with the help of the package {package}, which is not installed here: "
            f"pip install {package}"
        ) from error


@contextmanager
def saving(framework: str) -> Iterator[None]:
    """A context in which a framework saves a model.

    Raises:
        ClipperException: it cannot.
    """
    try:
        yield
    except Exception as error:
        raise ClipperException(
            f"The {framework} model cannot be saved: {type(error).__name__}: {str(error).rstrip('.')}. What it "
            "cannot save may be deployed as a function that uses it, by deployers.python"
        ) from error


def method_of(model: object, method: str) -> str:
    """The name of a model's method that answers a batch.

    Raises:
        ClipperException: it has no such method.
    """
    if not callable(getattr(model, method, None)):
        raise ClipperException(f"The {type(model).__name__} has no method '{method}'; name one that it has in method=")
    return method


def _save(model: TrainedModel, directory: Path) -> None:
    target = directory / loaded_model.DIRECTORY
    target.mkdir()
    with saving(model.framework):
        model.save(target)


def _sample(value: Any, input_type: str, names: Sequence[str]) -> Callable[[], Any] | None:
    """What makes the batch for the warm-up, of an input as a client would send it."""
    if value is None:
        return None
    data = samples.packed([value], input_type, names).data
    kind = input_type_name(input_type)
    if kind not in _DTYPES:
        return functools.partial(loaded_model.batch_of_text, data.decode())
    return functools.partial(loaded_model.batch_of_numbers, data, _DTYPES[kind], tuple(names))


def _is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False

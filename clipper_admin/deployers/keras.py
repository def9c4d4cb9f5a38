"""Deploys models of Keras, saved in its own format (`.keras`) and loaded in its safe mode: no code of the file runs."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from clipper_admin.closures import package_of
from clipper_admin.connection import ClipperConnection
from clipper_admin.deployers import trained_model
from clipper_admin.deployers.trained_model import NamedOptions, TrainedModel, imported
from clipper_admin.exceptions import ClipperException
from clipper_admin.naming import ADAPTIVE_BATCH_SIZE

_FRAMEWORK = "Keras"
_FILE = "model.keras"
_SUFFIXES = (".keras", ".h5", ".hdf5")


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    func: Callable[[Any, Any], Any] | None,
    model_path_or_object: Any,
    default_output: str = "None",
    version: str | int | None = 1,
    slo_micros: int = 3_000_000,
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    base_image: str = "default",
    num_replicas: int = 1,
    batch_size: int = ADAPTIVE_BATCH_SIZE,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[NamedOptions],
) -> str:
    """Registers an application, deploys a model of the same name and links the two; all of it or nothing.

    Args:
        clipper_conn: a connection to the cluster.
        name: of the application and of the model.
        input_type: what clients send; "floats" are what most models take.
        func: as for deploy_keras_model.
        model_path_or_object: as for deploy_keras_model.
        default_output: answered when there is no prediction in time.
        version: of the model; None: its next.
        slo_micros: the latency objective in microseconds.
        labels: free words.
        registry: where the image is pushed, for container managers that do.
        base_image: what the image is based on, likewise.
        num_replicas: how many replicas to start.
        batch_size: the largest batch; -1: adapted to the latency objective.
        pkgs_to_install: what the model needs beside Keras, or another version of that, as pip takes it.
        options: see trained_model.NamedOptions.

    Returns:
        The model's version.

    Raises:
        ClipperException: something is there already, with what differs; or it failed, and then nothing is left of it.
    """
    return trained_model.create_endpoint(
        clipper_conn,
        name,
        input_type,
        _trained(func, model_path_or_object),
        default_output,
        version,
        slo_micros,
        base_image=base_image,
        labels=labels,
        registry=registry,
        num_replicas=num_replicas,
        batch_size=batch_size,
        pkgs_to_install=pkgs_to_install,
        **options,
    )


def deploy_keras_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int | None,
    input_type: str,
    func: Callable[[Any, Any], Any] | None,
    model_path_or_object: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = ADAPTIVE_BATCH_SIZE,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[NamedOptions],
) -> str:
    """Deploys a model of Keras, on the backend that it has here.

    Args:
        clipper_conn: a connection to the cluster.
        name: the model's name.
        version: its version; None: the next.
        input_type: what clients send; "floats" are what most models take.
        func: takes the model and a batch of inputs, and returns one output an input; None: the model's own prediction.
        model_path_or_object: the model, or the path of a `.keras` or `.h5` file. Layers of one's own travel with a
            model, and not with a file.
        base_image: what the image is based on, for container managers that use images.
        labels: free words.
        registry: where the image is pushed, likewise.
        num_replicas: how many replicas to start.
        batch_size: the largest batch; -1: adapted to the applications' latency objectives.
        pkgs_to_install: what the model needs beside Keras, or another version of that, as pip takes it.
        options: see trained_model.NamedOptions.

    Returns:
        The version.

    Raises:
        ClipperException: Keras is not installed here, it is no model, or it cannot be deployed.
    """
    return trained_model.deploy(
        clipper_conn,
        name,
        version,
        input_type,
        _trained(func, model_path_or_object),
        base_image=base_image,
        labels=labels,
        registry=registry,
        num_replicas=num_replicas,
        batch_size=batch_size,
        pkgs_to_install=pkgs_to_install,
        **options,
    )


def _trained(func: Callable[[Any, Any], Any] | None, model: Any) -> TrainedModel:
    keras = imported("keras", "keras", _FRAMEWORK)
    backend = keras.backend.backend()
    if isinstance(model, str | os.PathLike):
        path = _checked(Path(model))
        file, own, save = f"model{path.suffix}", {}, partial(shutil.copy2, path)
    elif isinstance(model, keras.Model):
        file, own, save = _FILE, _own_classes(model), model.save
    else:
        raise ClipperException(
            f"A {type(model).__name__} is no model of Keras: deploy a keras.Model or the path of one"
        )
    return TrainedModel(
        framework=_FRAMEWORK,
        save=lambda directory: save(directory / file),
        load=partial(_load, file=file, backend=backend, own=own),
        func=func or _answers,
        packages=["keras", package_of(backend, backend)],
        module=__name__,
    )


def _checked(path: Path) -> Path:
    if path.suffix not in _SUFFIXES or not path.is_file():
        raise ClipperException(f"'{path}' is no file that ends with one of {', '.join(_SUFFIXES)}")
    return path


def _own_classes(model: Any) -> dict[str, type]:
    """The classes of a model's layers that are not of Keras, by the names under which it looks for them."""
    layers = [model, *model._flatten_layers(include_self=False)]
    return {kind.__name__: kind for kind in map(type, layers) if kind.__module__.partition(".")[0] != "keras"}


def _load(directory: str, file: str, backend: str, own: Mapping[str, type]) -> Any:
    os.environ["KERAS_BACKEND"] = backend
    threads = os.environ.get("OMP_NUM_THREADS", "0")
    # TensorFlow looks there, and nowhere else.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", threads)
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", threads)
    import keras

    return keras.saving.load_model(Path(directory) / file, custom_objects=own, compile=False, safe_mode=True)


def _answers(model: Any, inputs: Any) -> Any:
    return model.predict_on_batch(inputs)

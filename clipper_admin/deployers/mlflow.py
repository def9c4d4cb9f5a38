"""Deploys what MLflow has logged, by its directory on this machine, whatever has trained it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

from clipper_admin.closures import package_of
from clipper_admin.connection import ClipperConnection
from clipper_admin.deployers import trained_model
from clipper_admin.deployers.trained_model import Options, TrainedModel
from clipper_admin.exceptions import ClipperException

_FRAMEWORK = "MLflow"


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    mlflow_model: str | os.PathLike[str],
    default_output: str = "None",
    version: str | int | None = 1,
    slo_micros: int = 3_000_000,
    *,
    func: Callable[[Any, Any], Any] | None = None,
    **options: Unpack[Options],
) -> str:
    """Registers an application, deploys a model of the same name and links the two; all of it or nothing.

    Args:
        clipper_conn: a connection to the cluster.
        name: of the application and of the model.
        input_type: what clients send.
        mlflow_model: as for deploy_mlflow_model.
        default_output: answered when there is no prediction in time.
        version: of the model; None: its next.
        slo_micros: the latency objective in microseconds.
        func: as for deploy_mlflow_model.
        options: see trained_model.Options.

    Returns:
        The model's version.

    Raises:
        ClipperException: something is there already, with what differs; or it failed, and then nothing is left of it.
    """
    model = _trained(mlflow_model, func)
    return trained_model.create_endpoint(
        clipper_conn, name, input_type, model, default_output, version, slo_micros, **options
    )


def deploy_mlflow_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int | None,
    input_type: str,
    mlflow_model: str | os.PathLike[str],
    *,
    func: Callable[[Any, Any], Any] | None = None,
    **options: Unpack[Options],
) -> str:
    """Deploys a logged model with the packages that it names.

    Args:
        clipper_conn: a connection to the cluster.
        name: the model's name.
        version: its version; None: the next.
        input_type: what clients send.
        mlflow_model: the directory of a logged or saved model, which has an `MLmodel` file and the flavour
            `python_function`. A model whose signature has columns is deployed with their names (`input_names`).
        func: takes the model, as `mlflow.pyfunc` loads it, and a batch of inputs, and returns one output an input;
            None: its `predict`.
        options: see trained_model.Options.

    Returns:
        The version.

    Raises:
        ClipperException: there is no such model, or it cannot be deployed.
    """
    return trained_model.deploy(clipper_conn, name, version, input_type, _trained(mlflow_model, func), **options)


def _trained(model: str | os.PathLike[str], func: Callable[[Any, Any], Any] | None) -> TrainedModel:
    path = Path(model)
    if not (path / "MLmodel").is_file():
        raise ClipperException(
            f"There is no MLflow model at '{path}': give the directory with its MLmodel file, as "
            "mlflow.artifacts.download_artifacts returns"
        )
    return TrainedModel(
        framework=_FRAMEWORK,
        save=lambda directory: shutil.copytree(path, directory, dirs_exist_ok=True),
        load=_load,
        func=func or _answers,
        packages=[package_of("mlflow", "mlflow"), *_requirements(path)],
        module=__name__,
    )


def _requirements(path: Path) -> list[str]:
    """What the model names as its packages, but for MLflow itself."""
    file = path / "requirements.txt"
    lines = [line.partition("#")[0].strip() for line in file.read_text().splitlines()] if file.is_file() else []
    return [line for line in lines if line and not line.startswith(("-", "mlflow"))]


def _load(directory: str) -> Any:
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(directory)


def _answers(model: Any, inputs: Any) -> Any:
    return model.predict(inputs)

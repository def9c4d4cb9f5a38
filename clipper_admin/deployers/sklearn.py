"""Deploys what scikit-learn has fitted: classifiers, regressors, transformers, and pipelines of them.

A model is saved by skops, whose files, unlike pickles, can make nothing but objects of the types that are named when
they are loaded: scikit-learn's own and those that this very model is made of.
"""

import io
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Unpack
from zipfile import ZipFile, ZipInfo

from clipper_admin.closures import package_of
from clipper_admin.connection import ClipperConnection
from clipper_admin.deployers import trained_model
from clipper_admin.deployers.trained_model import Options, TrainedModel, imported, method_of, saving
from clipper_admin.exceptions import ClipperException

_FRAMEWORK = "scikit-learn"
_FILE = "model.skops"
_SCHEMA = "schema.json"


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    sklearn_model: Any,
    default_output: str = "None",
    version: str | int | None = 1,
    slo_micros: int = 3_000_000,
    *,
    func: Callable[[Any, Any], Any] | None = None,
    method: str = "predict",
    **options: Unpack[Options],
) -> str:
    """Registers an application, deploys a model of the same name and links the two; all of it or nothing.

    Args:
        clipper_conn: a connection to the cluster.
        name: of the application and of the model.
        input_type: what the model takes: a type of numbers, or "strings" for one that begins with a vectoriser.
        sklearn_model: the fitted model.
        default_output: answered when there is no prediction in time.
        version: of the model; None: its next.
        slo_micros: the latency objective in microseconds.
        func: as for deploy_sklearn_model.
        method: likewise.
        options: see trained_model.Options.

    Returns:
        The model's version.

    Raises:
        ClipperException: something is there already, with what differs; or it failed, and then nothing is left of it.
    """
    model = _trained(sklearn_model, func, method)
    return trained_model.create_endpoint(
        clipper_conn, name, input_type, model, default_output, version, slo_micros, **options
    )


def deploy_sklearn_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int | None,
    input_type: str,
    sklearn_model: Any,
    *,
    func: Callable[[Any, Any], Any] | None = None,
    method: str = "predict",
    **options: Unpack[Options],
) -> str:
    """Deploys a fitted model.

    Args:
        clipper_conn: a connection to the cluster.
        name: the model's name.
        version: its version; None: the next.
        input_type: what the model takes: a type of numbers, or "strings" for one that begins with a vectoriser.
        sklearn_model: the fitted model.
        func: takes the model and a batch of inputs, and returns one output an input; None: the model's method.
        method: the method that answers a batch, "predict_proba" for one. Of a model with several targets an output of
            "predict_proba" is a list with one array a target.
        options: see trained_model.Options.

    Returns:
        The version.

    Raises:
        ClipperException: skops is not installed here, the model is not fitted, or it cannot be deployed.
    """
    return trained_model.deploy(
        clipper_conn, name, version, input_type, _trained(sklearn_model, func, method), **options
    )


def _trained(model: Any, func: Callable[[Any, Any], Any] | None, method: str) -> TrainedModel:
    skops = imported("skops.io", "skops", _FRAMEWORK)
    _check_fitted(model)
    with saving(_FRAMEWORK):
        content = _steady(skops.dumps(model))
        types = skops.get_untrusted_types(data=content)
    return TrainedModel(
        framework=_FRAMEWORK,
        save=lambda directory: (directory / _FILE).write_bytes(content),
        load=partial(_load, types=types),
        func=func or partial(_answers, method=method_of(model, method)),
        packages=[_FRAMEWORK, "skops", *_packages_of(types)],
        module=__name__,
    )


def _check_fitted(model: Any) -> None:
    validation = imported("sklearn.utils.validation", _FRAMEWORK, _FRAMEWORK)
    try:
        validation.check_is_fitted(model)
    except (TypeError, ValueError) as error:
        raise ClipperException(f"What is deployed has to be fitted, and a model of {_FRAMEWORK}: {error}") from error


def _packages_of(types: list[str]) -> list[str]:
    """What else than scikit-learn the types are from, where it is installed."""
    modules = {each.partition(".")[0] for each in types} - {"sklearn", "numpy", "scipy"}
    return sorted(filter(None, (package_of(module) for module in modules)))


def _steady(content: bytes) -> bytes:
    """A file of skops without what differs from one time to the next that the same model is saved.

    That is the time, and the addresses of its parts in this process, by which these refer to each other.
    """
    written = io.BytesIO()
    with ZipFile(io.BytesIO(content)) as before, ZipFile(written, "w") as after:
        addresses: dict[int, int] = {}
        schema = _renumbered(json.loads(before.read(_SCHEMA)), addresses)
        after.writestr(ZipInfo(_SCHEMA), json.dumps(schema))
        for name in sorted(before.namelist(), key=lambda name: _renamed(name, addresses)):
            if name != _SCHEMA:
                after.writestr(ZipInfo(_renamed(name, addresses)), before.read(name))
    return written.getvalue()


def _renumbered(state: Any, addresses: dict[int, int]) -> Any:
    """A part of a schema, with the parts numbered as they come."""
    match state:
        case {"__id__": int(address)}:
            number = addresses.setdefault(address, len(addresses) + 1)
            rest = {key: value for key, value in state.items() if key != "__id__"}
            return {"__id__": number, **_renumbered(rest, addresses)}
        case {"file": str(file)}:
            return {**state, "file": _renamed(file, addresses)}
        case Mapping():
            return {key: _renumbered(value, addresses) for key, value in state.items()}
        case list():
            return [_renumbered(each, addresses) for each in state]
    return state


def _renamed(file: str, addresses: Mapping[int, int]) -> str:
    """The name of an array's file, which is its address, with its number in place of that."""
    stem, dot, ending = file.partition(".")
    return f"{addresses[int(stem)]}{dot}{ending}" if stem.isdigit() and int(stem) in addresses else file


def _load(directory: str, types: list[str]) -> Any:
    import skops.io

    return skops.io.load(Path(directory) / _FILE, trusted=types)


def _answers(model: Any, inputs: Any, method: str) -> Any:
    answers = getattr(model, method)(inputs)
    # Of several targets each has an array of its own, with a row an input.
    if isinstance(answers, list) and all(getattr(each, "ndim", 0) > 1 for each in answers):
        return list(zip(*answers, strict=True))
    return answers

"""Deploys what XGBoost has trained: a `Booster`, or a model of its scikit-learn interface.

A model is saved in XGBoost's own binary JSON (`.ubj`), which other versions of XGBoost read, too.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from clipper_admin.closures import package_of
from clipper_admin.connection import ClipperConnection
from clipper_admin.deployers import trained_model
from clipper_admin.deployers.trained_model import Options, TrainedModel, imported, method_of
from clipper_admin.exceptions import ClipperException

_FRAMEWORK = "XGBoost"
_FILE = "model.ubj"


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    xgboost_model: Any,
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
        input_type: a type of numbers; "floats" are what XGBoost computes with.
        xgboost_model: the trained model.
        default_output: answered when there is no prediction in time.
        version: of the model; None: its next.
        slo_micros: the latency objective in microseconds.
        func: as for deploy_xgboost_model.
        method: likewise.
        options: see trained_model.Options.

    Returns:
        The model's version.

    Raises:
        ClipperException: something is there already, with what differs; or it failed, and then nothing is left of it.
    """
    model = _trained(xgboost_model, func, method)
    return trained_model.create_endpoint(
        clipper_conn, name, input_type, model, default_output, version, slo_micros, **options
    )


def deploy_xgboost_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int | None,
    input_type: str,
    xgboost_model: Any,
    *,
    func: Callable[[Any, Any], Any] | None = None,
    method: str = "predict",
    **options: Unpack[Options],
) -> str:
    """Deploys a trained model.

    Args:
        clipper_conn: a connection to the cluster.
        name: the model's name.
        version: its version; None: the next.
        input_type: a type of numbers; "floats" are what XGBoost computes with.
        xgboost_model: a `Booster`, or a model of the scikit-learn interface, which brings scikit-learn along.
        func: takes the model and a batch of inputs, and returns one output an input; None: the model's method.
        method: the method that answers a batch, such as "predict_proba"; of a `Booster` "predict" alone, which gets a
            `DMatrix`.
        options: see trained_model.Options.

    Returns:
        The version.

    Raises:
        ClipperException: XGBoost is not installed here, it is no model of XGBoost, or it cannot be deployed.
    """
    return trained_model.deploy(
        clipper_conn, name, version, input_type, _trained(xgboost_model, func, method), **options
    )


def _trained(model: Any, func: Callable[[Any, Any], Any] | None, method: str) -> TrainedModel:
    kind = _kind(model)
    is_booster = kind == "Booster"
    if is_booster and method != "predict":
        raise ClipperException(f"A Booster answers with predict; give a func that calls its {method}")
    answers = _booster_answers if is_booster else partial(_answers, method=method_of(model, method))
    return TrainedModel(
        framework=_FRAMEWORK,
        save=lambda directory: model.save_model(directory / _FILE),
        load=partial(_load, kind=kind),
        func=func or answers,
        packages=[package_of("xgboost", "xgboost"), *([] if is_booster else ["scikit-learn"])],
        module=__name__,
    )


def _kind(model: Any) -> str:
    """The class of XGBoost's that a model is of.

    Raises:
        ClipperException: it is of none.
    """
    xgboost = imported("xgboost", "xgboost", _FRAMEWORK)
    for kind in type(model).__mro__:
        if hasattr(kind, "load_model") and getattr(xgboost, kind.__name__, None) is kind:
            return str(kind.__name__)
    raise ClipperException(
        f"A {type(model).__name__} is no model of XGBoost: deploy a Booster, as xgboost.train returns, or a model of "
        "its scikit-learn interface"
    )


def _load(directory: str, kind: str) -> Any:
    import xgboost

    model = getattr(xgboost, kind)()
    model.load_model(Path(directory) / _FILE)
    return model


def _booster_answers(booster: Any, inputs: Any) -> Any:
    import xgboost

    return booster.predict(
        xgboost.DMatrix(inputs, feature_names=booster.feature_names, feature_types=booster.feature_types)
    )


def _answers(model: Any, inputs: Any, method: str) -> Any:
    return getattr(model, method)(inputs)

"""Deploys what LightGBM has trained: a `Booster`, or a model of its scikit-learn interface.

A model is saved in LightGBM's own text format, which other versions of LightGBM read, too. That holds boosters alone:
what the scikit-learn interface makes of a booster's scores is made here, without scikit-learn.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from clipper_admin.connection import ClipperConnection
from clipper_admin.deployers import trained_model
from clipper_admin.deployers.trained_model import Options, TrainedModel, imported, saving
from clipper_admin.exceptions import ClipperException

_FRAMEWORK = "LightGBM"
_FILE = "model.txt"


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    lightgbm_model: Any,
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
        input_type: a type of numbers; "doubles" are what LightGBM computes with.
        lightgbm_model: the trained model.
        default_output: answered when there is no prediction in time.
        version: of the model; None: its next.
        slo_micros: the latency objective in microseconds.
        func: as for deploy_lightgbm_model.
        method: likewise.
        options: see trained_model.Options.

    Returns:
        The model's version.

    Raises:
        ClipperException: something is there already, with what differs; or it failed, and then nothing is left of it.
    """
    model = _trained(lightgbm_model, func, method)
    return trained_model.create_endpoint(
        clipper_conn, name, input_type, model, default_output, version, slo_micros, **options
    )


def deploy_lightgbm_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int | None,
    input_type: str,
    lightgbm_model: Any,
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
        input_type: a type of numbers; "doubles" are what LightGBM computes with.
        lightgbm_model: a `Booster`, or a model of the scikit-learn interface.
        func: takes a `Booster`, of either, and a batch of inputs, and returns one output an input; None: the model's
            method.
        method: the method that answers a batch: "predict", or "predict_proba" of a classifier.
        options: see trained_model.Options.

    Returns:
        The version.

    Raises:
        ClipperException: LightGBM is not installed here, it is no fitted model of LightGBM, or it cannot be deployed.
    """
    return trained_model.deploy(
        clipper_conn, name, version, input_type, _trained(lightgbm_model, func, method), **options
    )


def _trained(model: Any, func: Callable[[Any, Any], Any] | None, method: str) -> TrainedModel:
    lightgbm = imported("lightgbm", "lightgbm", _FRAMEWORK)
    booster, answers = _parts(lightgbm, model, method)
    return TrainedModel(
        framework=_FRAMEWORK,
        save=lambda directory: booster.save_model(directory / _FILE),
        load=_load,
        func=func or answers,
        packages=["lightgbm"],
        module=__name__,
    )


def _parts(lightgbm: Any, model: Any, method: str) -> tuple[Any, Callable[[Any, Any], Any]]:
    """A model's booster, and what answers with that as the model's method does."""
    if isinstance(model, lightgbm.Booster):
        booster, classes = model, None
    elif isinstance(model, lightgbm.LGBMModel):
        with saving(_FRAMEWORK):
            booster = model.booster_
        # With an objective of one's own the scores are what a classifier answers.
        is_classifier = isinstance(model, lightgbm.LGBMClassifier) and not callable(model.objective)
        classes = model.classes_.tolist() if is_classifier else None
    else:
        raise ClipperException(
            f"A {type(model).__name__} is no model of LightGBM: deploy a Booster, as lightgbm.train returns, or a "
            "model of its scikit-learn interface"
        )
    methods: dict[str, Callable[[Any, Any], Any]] = {"predict": _scores}
    if classes is not None:
        methods = {"predict": partial(_labels, classes=classes), "predict_proba": _probabilities}
    if method not in methods:
        raise ClipperException(f"The {type(model).__name__} is deployed with method= one of {', '.join(methods)}")
    return booster, methods[method]


def _load(directory: str) -> Any:
    import lightgbm

    return lightgbm.Booster(model_file=Path(directory) / _FILE)


def _scores(booster: Any, inputs: Any) -> Any:
    return booster.predict(inputs)


def _probabilities(booster: Any, inputs: Any) -> Any:
    scores = booster.predict(inputs)
    # Of two classes a booster scores the second.
    return scores if scores.ndim > 1 else np.column_stack((1 - scores, scores))


def _labels(booster: Any, inputs: Any, classes: list[Any]) -> Any:
    return [classes[index] for index in _probabilities(booster, inputs).argmax(axis=1)]

"""Deploys models of TensorFlow, saved as a SavedModel, or as the checkpoint of a session."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

from clipper_admin.closures import package_of
from clipper_admin.connection import ClipperConnection
from clipper_admin.deployers import trained_model
from clipper_admin.deployers.trained_model import NamedOptions, TrainedModel, imported
from clipper_admin.exceptions import ClipperException
from clipper_admin.naming import ADAPTIVE_BATCH_SIZE

_FRAMEWORK = "TensorFlow"
_CHECKPOINT = "session.ckpt"


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    func: Callable[[Any, Any], Any] | None,
    tf_sess_or_saved_model_path: Any,
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
        func: as for deploy_tensorflow_model.
        tf_sess_or_saved_model_path: as for deploy_tensorflow_model.
        default_output: answered when there is no prediction in time.
        version: of the model; None: its next.
        slo_micros: the latency objective in microseconds.
        labels: free words.
        registry: where the image is pushed, for container managers that do.
        base_image: what the image is based on, likewise.
        num_replicas: how many replicas to start.
        batch_size: the largest batch; -1: adapted to the latency objective.
        pkgs_to_install: what the model needs beside TensorFlow, or another version of that, as pip takes it.
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
        _trained(func, tf_sess_or_saved_model_path),
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


def deploy_tensorflow_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int | None,
    input_type: str,
    func: Callable[[Any, Any], Any] | None,
    tf_sess_or_saved_model_path: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = ADAPTIVE_BATCH_SIZE,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[NamedOptions],
) -> str:
    """Deploys a model of TensorFlow.

    Args:
        clipper_conn: a connection to the cluster.
        name: the model's name.
        version: its version; None: the next.
        input_type: what clients send; "floats" are what most models take.
        func: takes what was loaded, which is a session where the model was one, checkpoints or a frozen graph, and a
            batch of inputs; returns one output an input. None: the signature "serving_default" of a SavedModel.
        tf_sess_or_saved_model_path: a `tf.Module` with a `tf.function`, a session of TensorFlow 1 (`tf.compat.v1`), or
            the path of a SavedModel, of a directory of checkpoints with a `.meta` file, or of a frozen graph (`.pb`).
        base_image: what the image is based on, for container managers that use images.
        labels: free words.
        registry: where the image is pushed, likewise.
        num_replicas: how many replicas to start.
        batch_size: the largest batch; -1: adapted to the applications' latency objectives.
        pkgs_to_install: what the model needs beside TensorFlow, or another version of that, as pip takes it.
        options: see trained_model.NamedOptions.

    Returns:
        The version.

    Raises:
        ClipperException: TensorFlow is not installed here, it is no model, or it cannot be deployed.
    """
    return trained_model.deploy(
        clipper_conn,
        name,
        version,
        input_type,
        _trained(func, tf_sess_or_saved_model_path),
        base_image=base_image,
        labels=labels,
        registry=registry,
        num_replicas=num_replicas,
        batch_size=batch_size,
        pkgs_to_install=pkgs_to_install,
        **options,
    )


def _trained(func: Callable[[Any, Any], Any] | None, model: Any) -> TrainedModel:
    return TrainedModel(
        framework=_FRAMEWORK,
        save=_saver(model),
        load=_load,
        func=func or _answers,
        packages=[package_of("tensorflow", "tensorflow")],
        module=__name__,
    )


def _saver(model: Any) -> Callable[[Path], object]:
    """What writes a model into a directory."""
    if isinstance(model, str | os.PathLike):
        path = Path(model)
        if not path.exists():
            raise ClipperException(f"There is no TensorFlow model at '{path}'")
        if path.is_dir():
            return lambda directory: shutil.copytree(path, directory, dirs_exist_ok=True)
        return lambda directory: shutil.copy2(path, directory / "frozen.pb")
    tf = imported("tensorflow", "tensorflow", _FRAMEWORK)
    if isinstance(model, tf.compat.v1.Session):
        return lambda directory: _save_session(tf, model, directory)
    if isinstance(model, tf.Module):
        return lambda directory: tf.saved_model.save(model, str(directory))
    raise ClipperException(
        f"A {type(model).__name__} is no model of TensorFlow: deploy a tf.Module, a session of tf.compat.v1, or the "
        "path of a SavedModel"
    )


def _save_session(tf: Any, session: Any, directory: Path) -> None:
    with session.graph.as_default():
        tf.compat.v1.train.Saver().save(session, str(directory / _CHECKPOINT))


def _load(directory: str) -> Any:
    threads = os.environ.get("OMP_NUM_THREADS", "0")
    # It looks there, and nowhere else.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", threads)
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", threads)
    import tensorflow as tf

    if (Path(directory) / "saved_model.pb").exists():
        return tf.saved_model.load(directory)
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        for meta in sorted(Path(directory).glob("*.meta")):
            tf.compat.v1.train.import_meta_graph(str(meta)).restore(session, str(meta.with_suffix("")))
            return session
        [frozen] = Path(directory).glob("*.pb")
        tf.import_graph_def(tf.compat.v1.GraphDef.FromString(frozen.read_bytes()), name="")
    return session


def _answers(model: Any, inputs: Any) -> Any:
    import tensorflow as tf

    predict = model.signatures["serving_default"]
    [(name, taken)] = predict.structured_input_signature[1].items()
    return next(iter(predict(**{name: tf.cast(inputs, taken.dtype)}).values())).numpy()

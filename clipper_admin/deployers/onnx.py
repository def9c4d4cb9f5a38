"""Deploys ONNX models, whatever has made them, on ONNX Runtime."""

import io
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from clipper_admin.closures import package_of
from clipper_admin.connection import ClipperConnection
from clipper_admin.deployers import trained_model
from clipper_admin.deployers.trained_model import NamedOptions, Options, TrainedModel, imported, saving
from clipper_admin.exceptions import ClipperException
from clipper_admin.naming import ADAPTIVE_BATCH_SIZE

_FRAMEWORK = "ONNX"
_FILE = "model.onnx"
_BACKEND = "onnxruntime"
_DTYPES = {
    "tensor(bool)": "?",
    "tensor(double)": "f8",
    "tensor(float)": "f4",
    "tensor(float16)": "f2",
    "tensor(int8)": "i1",
    "tensor(int16)": "i2",
    "tensor(int32)": "i4",
    "tensor(int64)": "i8",
    "tensor(string)": "O",
    "tensor(uint8)": "u1",
}


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    onnx_model: Any,
    default_output: str = "None",
    version: str | int | None = 1,
    slo_micros: int = 3_000_000,
    *,
    func: Callable[[Any, Any], Any] | None = None,
    output: str | None = None,
    **options: Unpack[Options],
) -> str:
    """Registers an application, deploys a model of the same name and links the two; all of it or nothing.

    Args:
        clipper_conn: a connection to the cluster.
        name: of the application and of the model.
        input_type: what clients send.
        onnx_model: the model, as for deploy_onnx_model.
        default_output: answered when there is no prediction in time.
        version: of the model; None: its next.
        slo_micros: the latency objective in microseconds.
        func: as for deploy_onnx_model.
        output: likewise.
        options: see trained_model.Options.

    Returns:
        The model's version.

    Raises:
        ClipperException: something is there already, with what differs; or it failed, and then nothing is left of it.
    """
    model = _trained(onnx_model, func, output)
    return trained_model.create_endpoint(
        clipper_conn, name, input_type, model, default_output, version, slo_micros, **options
    )


def deploy_onnx_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int | None,
    input_type: str,
    onnx_model: Any,
    *,
    func: Callable[[Any, Any], Any] | None = None,
    output: str | None = None,
    **options: Unpack[Options],
) -> str:
    """Deploys an ONNX model.

    Its inputs are converted to the types that it takes, and an input of numbers is given the shape that it takes, as an
    image that comes as a row of pixels. A model with several inputs takes them by their names (`input_names`).

    Args:
        clipper_conn: a connection to the cluster.
        name: the model's name.
        version: its version; None: the next.
        input_type: what clients send.
        onnx_model: the path of a file, its content as bytes, or what has a method `SerializeToString`, as a
            `ModelProto` has. The model takes batches of any size, or is deployed with `batch_size=1`.
        func: takes an `onnxruntime.InferenceSession` and a batch of inputs, and returns one output an input; None: the
            model's own.
        output: which of the model's outputs is answered; None: the first.
        options: see trained_model.Options.

    Returns:
        The version.

    Raises:
        ClipperException: there is no such file, or the model cannot be deployed.
    """
    return trained_model.deploy(clipper_conn, name, version, input_type, _trained(onnx_model, func, output), **options)


def create_pytorch_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    inputs: Any,
    func: Callable[[Any, Any], Any] | None,
    pytorch_model: Any,
    default_output: str = "None",
    version: str | int | None = 1,
    slo_micros: int = 3_000_000,
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    base_image: str | None = None,
    num_replicas: int = 1,
    onnx_backend: str = _BACKEND,
    batch_size: int = ADAPTIVE_BATCH_SIZE,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[NamedOptions],
) -> str:
    """Registers an application, deploys a network of PyTorch as an ONNX model of the same name and links the two.

    Args:
        clipper_conn: a connection to the cluster.
        name: of the application and of the model.
        input_type: what clients send.
        inputs: as for deploy_pytorch_model.
        func: likewise.
        pytorch_model: the network.
        default_output: answered when there is no prediction in time.
        version: of the model; None: its next.
        slo_micros: the latency objective in microseconds.
        labels: free words.
        registry: where the image is pushed, for container managers that do.
        base_image: what the image is based on, likewise; None: the default.
        num_replicas: how many replicas to start.
        onnx_backend: what computes; there is "onnxruntime".
        batch_size: the largest batch; -1: adapted to the latency objective.
        pkgs_to_install: what it needs beside ONNX Runtime, or another version of that, as pip takes it.
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
        _trained(_exported(pytorch_model, inputs, onnx_backend), func, None),
        default_output,
        version,
        slo_micros,
        base_image=base_image or "default",
        labels=labels,
        registry=registry,
        num_replicas=num_replicas,
        batch_size=batch_size,
        pkgs_to_install=pkgs_to_install,
        **options,
    )


def deploy_pytorch_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int | None,
    input_type: str,
    inputs: Any,
    func: Callable[[Any, Any], Any] | None,
    pytorch_model: Any,
    base_image: str | None = None,
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    onnx_backend: str = _BACKEND,
    batch_size: int = ADAPTIVE_BATCH_SIZE,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[NamedOptions],
) -> str:
    """Exports a network of PyTorch and deploys it as an ONNX model, for which the container needs no PyTorch.

    Args:
        clipper_conn: a connection to the cluster.
        name: the model's name.
        version: its version; None: the next.
        input_type: what clients send.
        inputs: a tensor such as the network takes, to follow what becomes of it; batches may be of another size.
        func: takes an `onnxruntime.InferenceSession` and a batch of inputs, and returns one output an input; None: the
            network's own.
        pytorch_model: the network.
        base_image: what the image is based on, for container managers that use images; None: the default.
        labels: free words.
        registry: where the image is pushed, likewise.
        num_replicas: how many replicas to start.
        onnx_backend: what computes; there is "onnxruntime".
        batch_size: the largest batch; -1: adapted to the applications' latency objectives.
        pkgs_to_install: what it needs beside ONNX Runtime, or another version of that, as pip takes it.
        options: see trained_model.NamedOptions.

    Returns:
        The version.

    Raises:
        ClipperException: PyTorch or onnx is not installed here, or the network cannot be exported or deployed.
    """
    return trained_model.deploy(
        clipper_conn,
        name,
        version,
        input_type,
        _trained(_exported(pytorch_model, inputs, onnx_backend), func, None),
        base_image=base_image or "default",
        labels=labels,
        registry=registry,
        num_replicas=num_replicas,
        batch_size=batch_size,
        pkgs_to_install=pkgs_to_install,
        **options,
    )


def _exported(network: Any, inputs: Any, backend: str) -> bytes:
    """A network of PyTorch as an ONNX model that takes batches of any size."""
    if backend != _BACKEND:
        raise ClipperException(f"There is no ONNX backend '{backend}' any more; leave it out for {_BACKEND}")
    torch = imported("torch", "torch", "PyTorch")
    imported("onnx", "onnx", _FRAMEWORK)
    content = io.BytesIO()
    batches = {"inputs": {0: "batch"}, "outputs": {0: "batch"}}
    with saving("PyTorch"):
        torch.onnx.export(
            network,
            (inputs,),
            content,
            input_names=["inputs"],
            output_names=["outputs"],
            dynamic_axes=batches,
            dynamo=False,
        )
    return content.getvalue()


def _trained(model: Any, func: Callable[[Any, Any], Any] | None, output: str | None) -> TrainedModel:
    content = _content(model)
    return TrainedModel(
        framework=_FRAMEWORK,
        save=lambda directory: (directory / _FILE).write_bytes(content),
        load=_load,
        func=func or partial(_answers, output=output),
        packages=[package_of("onnxruntime", "onnxruntime")],
        module=__name__,
        packages_for_names=(),
    )


def _content(model: Any) -> bytes:
    if isinstance(model, bytes):
        return model
    if isinstance(model, str | os.PathLike):
        try:
            return Path(model).read_bytes()
        except OSError as error:
            raise ClipperException(f"The ONNX model in '{model}' cannot be read: {error.strerror}") from error
    if not hasattr(model, "SerializeToString"):
        raise ClipperException(
            f"A {type(model).__name__} is no ONNX model: give the path of a file, its content as bytes, or a "
            "ModelProto, as converters such as skl2onnx return"
        )
    return bytes(model.SerializeToString())


def _load(directory: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Of all that compute on several threads it alone does not look there; 0: one for each processor.
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    providers = onnxruntime.get_available_providers()
    return onnxruntime.InferenceSession(Path(directory) / _FILE, options, providers=providers)


def _answers(session: Any, inputs: Any, output: str | None) -> Any:
    names = [each.name for each in session.get_outputs()]
    if output is not None and output not in names:
        raise ValueError(f"the model has no output '{output}'; it has {', '.join(names)}")
    return session.run([output or names[0]], _fed(session.get_inputs(), inputs))[0]


def _fed(taken: Any, inputs: Any) -> dict[str, Any]:
    """What the model takes, by the names that it has for that."""
    if len(taken) == 1:
        rows = np.column_stack([*inputs.values()]) if isinstance(inputs, dict) else inputs
        return {taken[0].name: _tensor(rows, taken[0])}
    names = [each.name for each in taken]
    if not hasattr(inputs, "keys"):
        raise ValueError(f"the model has several inputs; deploy it with input_names={names}, in the order of an input")
    return {each.name: _tensor(inputs[each.name], each) for each in taken}


def _tensor(values: Any, taken: Any) -> Any:
    array = np.asarray(values, _DTYPES.get(taken.type))
    shape = taken.shape[1:]
    return array.reshape(len(array), *shape) if all(isinstance(size, int) for size in shape) else array

"""Deploys networks of PyTorch.

A network is saved as what it is and what it has learned. The first, without its numbers, travels in the function's
file, whoever has written its class. The second is a `state_dict`, and the buffers that are in none, in a file that is
loaded with `weights_only`.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from clipper_admin.connection import ClipperConnection
from clipper_admin.deployers import trained_model
from clipper_admin.deployers.trained_model import NamedOptions, TrainedModel, imported, saving
from clipper_admin.exceptions import ClipperException
from clipper_admin.naming import ADAPTIVE_BATCH_SIZE

_FRAMEWORK = "PyTorch"
_FILE = "model.pt"


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    func: Callable[[Any, Any], Any] | None,
    pytorch_model: Any,
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
    """Registers an application, deploys a network of the same name and links the two; all of it or nothing.

    Args:
        clipper_conn: a connection to the cluster.
        name: of the application and of the model.
        input_type: what clients send; "floats" are what most networks take.
        func: as for deploy_pytorch_model.
        pytorch_model: the network.
        default_output: answered when there is no prediction in time.
        version: of the model; None: its next.
        slo_micros: the latency objective in microseconds.
        labels: free words.
        registry: where the image is pushed, for container managers that do.
        base_image: what the image is based on, likewise.
        num_replicas: how many replicas to start.
        batch_size: the largest batch; -1: adapted to the latency objective.
        pkgs_to_install: what the network needs beside PyTorch, or another version of that, as pip takes it.
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
        _trained(func, pytorch_model),
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


def deploy_pytorch_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int | None,
    input_type: str,
    func: Callable[[Any, Any], Any] | None,
    pytorch_model: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = ADAPTIVE_BATCH_SIZE,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[NamedOptions],
) -> str:
    """Deploys a network, which serves on the processor and as `eval()` leaves it: without dropout.

    Args:
        clipper_conn: a connection to the cluster.
        name: the model's name.
        version: its version; None: the next.
        input_type: what clients send; "floats" are what most networks take.
        func: takes the network and a batch of inputs, and returns one output an input; it is called without gradients.
            None: the network itself, with a tensor of the type of its parameters.
        pytorch_model: the network.
        base_image: what the image is based on, for container managers that use images.
        labels: free words.
        registry: where the image is pushed, likewise.
        num_replicas: how many replicas to start.
        batch_size: the largest batch; -1: adapted to the applications' latency objectives.
        pkgs_to_install: what the network needs beside PyTorch, or another version of that, as pip takes it.
        options: see trained_model.NamedOptions.

    Returns:
        The version.

    Raises:
        ClipperException: PyTorch is not installed here, it is no network, or it cannot be deployed.
    """
    return trained_model.deploy(
        clipper_conn,
        name,
        version,
        input_type,
        _trained(func, pytorch_model),
        base_image=base_image,
        labels=labels,
        registry=registry,
        num_replicas=num_replicas,
        batch_size=batch_size,
        pkgs_to_install=pkgs_to_install,
        **options,
    )


def _trained(func: Callable[[Any, Any], Any] | None, network: Any) -> TrainedModel:
    torch = imported("torch", "torch", _FRAMEWORK)
    if not isinstance(network, torch.nn.Module):
        raise ClipperException(f"A {type(network).__name__} is no network of PyTorch, which is a torch.nn.Module")
    with saving(_FRAMEWORK):
        skeleton = _skeleton(torch, network)
    return TrainedModel(
        framework=_FRAMEWORK,
        save=lambda directory: torch.save({**_buffers(network), **network.state_dict()}, directory / _FILE),
        load=partial(_load, skeleton=skeleton),
        func=partial(_without_gradients, func=func or _answers),
        packages=["torch"],
        module=__name__,
    )


def _skeleton(torch: Any, network: Any) -> Any:
    """A network of the same kind whose parameters and buffers have shapes and types, and no numbers."""
    learned = [*_buffers(network).values(), *network.state_dict(keep_vars=True).values()]
    emptied = {id(each): _empty(torch, each) for each in learned if isinstance(each, torch.Tensor)}
    return copy.deepcopy(network, emptied)


def _empty(torch: Any, tensor: Any) -> Any:
    shape = torch.empty_like(tensor, device="meta")
    is_parameter = isinstance(tensor, torch.nn.Parameter)
    return torch.nn.Parameter(shape, requires_grad=tensor.requires_grad) if is_parameter else shape


def _load(directory: str, skeleton: Any) -> Any:
    import torch

    learned = torch.load(Path(directory) / _FILE, map_location="cpu", weights_only=True)
    own = skeleton.state_dict().keys()
    skeleton.load_state_dict({name: learned[name] for name in own}, assign=True)
    for name in _buffers(skeleton).keys() - own:
        owner, _, attribute = name.rpartition(".")
        setattr(skeleton.get_submodule(owner), attribute, learned[name])
    return skeleton.eval()


def _buffers(network: Any) -> dict[str, Any]:
    return dict(network.named_buffers(remove_duplicate=False))


def _without_gradients(network: Any, inputs: Any, func: Callable[[Any, Any], Any]) -> Any:
    import torch

    with torch.inference_mode():
        return func(network, inputs)


def _answers(network: Any, inputs: Any) -> Any:
    import torch

    dtype = next((each.dtype for each in network.parameters()), None)
    return network(torch.as_tensor(np.asarray(inputs), dtype=dtype))

"""Tries a model's function on this machine as a container would call it: reloaded, in a process of its own."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from clipper_admin import closures, samples
from clipper_admin.cluster.check import Check, timeout_s
from clipper_admin.cluster.replicas import LOAD_TIMEOUT_S
from clipper_admin.exceptions import ClipperException
from clipper_admin.hosts.identity import ProcessIdentity
from clipper_admin.hosts.process import checks
from clipper_admin.hosts.process.environments import services_python
from clipper_admin.naming import check_input_names, check_variables

_LOG = logging.getLogger(__name__)
_INVALID_INPUT = "Invalid input type or JSON key"
_INVALID_TYPE = "Invalid input type"
_NOT_SERIALIZABLE = "Function does not properly serialize and reload"


def try_function(
    query: Mapping[str, Any],
    func: Callable[[Any], Any],
    input_type: str,
    files: Sequence[str | os.PathLike[str]],
    env: Mapping[str, str],
    input_names: Iterable[str],
) -> Any:
    """What `func` returns for a query.

    Args:
        query: as in a REST request: {"input": X} or {"input_batch": [X, ...]}.
        func: the model's function.
        input_type: "bytes", "integers", "floats", "doubles", "strings" or one of their aliases.
        files: what it reads, as for deploy_python_closure.
        env: what it finds in its environment, likewise.
        input_names: what the elements of its inputs are called, likewise.

    Returns:
        The function's list of outputs, as REST embeds them but for texts, which stay texts; or a sentence that says
        what is wrong with the query or the function.

    Raises:
        ClipperException: a file or a variable cannot travel, or inputs of the type have no such names.
    """
    names = check_input_names(input_names, input_type)
    inputs = _inputs(query)
    if inputs is None:
        return _INVALID_INPUT
    try:
        sample = samples.packed(inputs, input_type, names)
    except samples.UnknownInputType:
        return _INVALID_INPUT
    except samples.Misnamed as error:
        return error.msg
    except ClipperException:
        return _INVALID_TYPE
    return _tried(func, Check(input_type, sample, timeout_s(LOAD_TIMEOUT_S)), files, check_variables(env), names)


def _tried(
    func: Callable[[Any], Any],
    question: Check,
    files: Sequence[str | os.PathLike[str]],
    env: Mapping[str, str],
    names: Sequence[str],
) -> Any:
    here = ProcessIdentity.of(os.getpid())
    # What was set since this process began is not what a container would have.
    environment = {} if here is None else here.environment()
    try:
        with closures.saved(func, files, names) as directory:
            return checks.outputs(directory, services_python(), {**environment, **env}, question)
    except closures.NotSerializable as error:
        _LOG.error("%s", error.msg)
        return _NOT_SERIALIZABLE
    except ClipperException as error:
        return error.msg


def _inputs(query: Mapping[str, Any]) -> Sequence[Any] | None:
    if "input" in query:
        return [query["input"]]
    batch = query.get("input_batch")
    return batch if isinstance(batch, Sequence) and not isinstance(batch, str | bytes) else None

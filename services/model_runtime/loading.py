"""Loading: from a model directory to the function that is called with batches.

The directory holds `func.pkl`, written by cloudpickle, with one of

- a function that takes the batch and returns a list with one output an input,
- an object whose method `predict` does that,
- a class of such objects, which is instantiated without arguments.

Where there are names for the elements of an input, the batch comes by name (columns.py). What has a method `warm_up`
is warmed up before it counts as loaded. All that happens on the calling thread, which is to make the calls, too; the
module `__main__` is the model's script from then on.
"""

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.common.errors import CallerError, describe
from services.common.tensors import ModelInputs
from services.model_runtime.columns import by_name
from services.model_runtime.outcomes import Outcomes
from services.model_runtime.remedies import remedy
from services.model_runtime.script import FUNCTION_FILE, Script

MODEL_PATH = "CLIPPER_MODEL_PATH"

ModelFunction = Callable[[ModelInputs], object]


class UnusableModel(CallerError):
    """The model directory does not hold a model that can be served."""

    reason = "UNUSABLE_MODEL"


class MissingModule(UnusableModel):
    """The model imports a module that the container does not have."""

    reason = "MISSING_MODULE"


def enter(model_path: str) -> Path:
    """Makes the model directory this process's working directory: what lies there is found by its relative path.

    Returns:
        The directory, which there may not be.
    """
    directory = Path(model_path).absolute()
    # Processes that a model spawns begin in its working directory, and read where the model is from their environment.
    os.environ[MODEL_PATH] = str(directory)
    if directory.is_dir():
        os.chdir(directory)
    return directory


def load(directory: Path, outcomes: Outcomes) -> ModelFunction:
    """Loads and warms up the model.

    Args:
        directory: the model directory.
        outcomes: settles what a `warm_up` returns that is a coroutine.

    Raises:
        MissingModule: an import of the model's failed.
        UnusableModel: there is no model, or it failed while it was loaded.
    """
    file = directory / FUNCTION_FILE
    if not file.is_file():
        missing = f"has no {FUNCTION_FILE}" if directory.is_dir() else "does not exist"
        raise UnusableModel(f"The model directory '{directory}' {missing}")
    try:
        return by_name(_function_of(Script(directory).load(), outcomes), directory)
    except UnusableModel:
        raise
    except ImportError as error:
        raise missing_module(error, directory) from error
    except BaseException as error:  # a model that calls sys.exit must not look like a clean end
        failure = f"The model in '{file}' failed while it was loaded: {describe(error)}"
        raise UnusableModel(". ".join(filter(None, (failure, remedy(error, directory))))) from error


def missing_module(error: ImportError, directory: Path) -> MissingModule:
    """What an import that failed in the model's code is to whoever deployed it."""
    needs = f"The model needs a module that this container does not have ({describe(error)})"
    return MissingModule(f"{needs}. {remedy(error, directory)}")


def _function_of(model: Any, outcomes: Outcomes) -> ModelFunction:
    if inspect.isclass(model) and hasattr(model, "predict"):
        model = model()
    function: ModelFunction = getattr(model, "predict", model)
    if inspect.isclass(model) or not callable(function):
        kind = f"the class {model.__name__}" if inspect.isclass(model) else f"an object of {type(model).__name__}"
        raise UnusableModel(
            f"{FUNCTION_FILE} must hold a function, or a class or an object with predict; it holds {kind}"
        )
    if hasattr(model, "warm_up"):
        outcomes.of(model.warm_up())
    return function

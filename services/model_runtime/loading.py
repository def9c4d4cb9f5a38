"""Loading: from a model directory to the function that is called with batches.

The directory holds `func.pkl`, written by cloudpickle, with one of

- a function that takes the batch and returns a list with one output an input,
- an object whose method `predict` does that,
- a class of such objects, which is instantiated without arguments.

Beside it there may be `func.packages.json`: which package brings each of the modules that were in use where the model
was deployed, {"sklearn": "scikit-learn==1.7.2"}, for the advice to whom a module is missing.

What has a method `warm_up` is warmed up before it counts as loaded. All that happens on the calling thread, which is to
make the calls, too; the module `__main__` is the model's script from then on.
"""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.common.errors import CallerError, describe
from services.common.tensors import ModelInputs
from services.model_runtime.outcomes import Outcomes
from services.model_runtime.script import FUNCTION_FILE, Script

PACKAGES_FILE = "func.packages.json"

ModelFunction = Callable[[ModelInputs], object]


class UnusableModel(CallerError):
    """The model directory does not hold a model that can be served."""

    reason = "UNUSABLE_MODEL"


class MissingModule(UnusableModel):
    """The model imports a module that the container does not have."""

    reason = "MISSING_MODULE"


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
        return _function_of(Script(directory).load(), outcomes)
    except UnusableModel:
        raise
    except ImportError as error:
        raise MissingModule(_advice(error, directory / PACKAGES_FILE)) from error
    except BaseException as error:  # a model that calls sys.exit must not look like a clean end
        raise UnusableModel(f"The model in '{file}' failed while it was loaded: {describe(error)}") from error


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


def _advice(error: ImportError, packages_file: Path) -> str:
    module = (error.name or "").partition(".")[0]
    remedy = _remedy(module, packages_file)
    return f"The model needs a module that this container does not have ({describe(error)}). {remedy}"


def _remedy(module: str, packages_file: Path) -> str:
    packages = json.loads(packages_file.read_text()) if packages_file.is_file() else {}
    if module in packages:
        return f"Deploy it with pkgs_to_install=['{packages[module]}']"
    if packages and module:
        return (
            f"No package that is installed where it was deployed brings '{module}'. If it is a module of your own, "
            "import it where the function is defined, and deploy it again: it then travels with the function. If it is "
            "a package's, name that package in pkgs_to_install"
        )
    return "Deploy it with pkgs_to_install=[...], naming the package that brings the module"

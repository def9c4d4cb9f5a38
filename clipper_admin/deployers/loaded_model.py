"""What serves a trained model: it is loaded in the container, warmed up there, and only then asked.

It travels in the function's file, by value, and uses nothing but what every container has.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

# Where the trained model lies, beside the function's file.
DIRECTORY = "trained"


class LoadedModel:
    """The object that a container calls.

    Args:
        framework: what has trained the model, for people.
        load: makes it of what lies in a directory.
        func: takes the model and a batch of inputs; returns one output an input.
        sample: makes the batch that it is warmed up with; None: it is loaded and that is all.
        saved_with: the packages that have saved it, with their versions.
    """

    def __init__(
        self,
        framework: str,
        load: Callable[[str], Any],
        func: Callable[[Any, Any], Any],
        sample: Callable[[], Any] | None,
        saved_with: Mapping[str, str],
    ) -> None:
        self._framework = framework
        self._load = load
        self._func = func
        self._sample = sample
        self._saved_with = saved_with

    def warm_up(self) -> Any:
        """Loads the model and asks it the sample; returns what comes of that, which may be still to be computed."""
        try:
            self._model = self._load(DIRECTORY)
        # Which package brings a module is known to the container.
        except ImportError:
            raise
        except Exception as error:
            cause = f"{type(error).__name__}: {str(error).rstrip('.')}"
            raise RuntimeError(f"the {self._framework} model cannot be loaded: {cause}. {self._remedy()}") from error
        return None if self._sample is None else self.predict(self._sample())

    def predict(self, inputs: Any) -> Any:
        """One output an input."""
        return self._func(self._model, inputs)

    def _remedy(self) -> str:
        found = {package: _installed(package) for package in self._saved_with}
        others = [f"{package} {found[package]}" for package in found if found[package] != self._saved_with[package]]
        if others:
            saved_with = ", ".join(f"{package}=={release}" for package, release in self._saved_with.items())
            return (
                f"It was saved with {saved_with}, and here is {', '.join(others)}: leave these packages out of "
                "pkgs_to_install, or name the versions that have saved it"
            )
        return "What was deployed is damaged, or no model of this framework: save it anew, and deploy that"


def batch_of_text(text: str) -> list[str]:
    """A text as a container hands it to a model."""
    return [text]


def batch_of_numbers(data: bytes, dtype: str, names: tuple[str, ...]) -> Any:
    """An input of numbers as a container hands it to a model.

    Args:
        data: the numbers, packed.
        dtype: their type.
        names: what they are called, so that the model gets a DataFrame, or without pandas a dict; empty: it gets a row.
    """
    rows = np.frombuffer(data, dtype).reshape(1, -1).copy()
    if not names:
        return rows
    try:
        import pandas
    except ModuleNotFoundError:
        return dict(zip(names, rows.T, strict=True))
    return pandas.DataFrame(rows, columns=names)


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"

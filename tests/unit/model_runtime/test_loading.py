"""A model directory becomes the function that is called with batches, or a sentence that says why not."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.model_runtime.loading import MissingModule, ModelFunction, UnusableModel, load
from services.model_runtime.outcomes import Outcomes
from tests.fixtures.model_containers import save


class _Model:
    factor = 2

    def predict(self, inputs: list[int]) -> list[int]:
        return [each * self.factor for each in inputs]


class _WarmModel(_Model):
    def warm_up(self) -> None:
        self.factor = 3


class _Unpickled:
    """Runs an action when it is unpickled."""

    def __init__(self, action: Any, *arguments: Any) -> None:
        self._restored = action, arguments

    def __reduce__(self) -> Any:
        return self._restored


class _NeedsArguments(_Model):
    def __init__(self, path: str) -> None:
        self.path = path


def _load(directory: Path) -> ModelFunction:
    return load(directory, Outcomes(asyncio.Runner()))


@pytest.fixture(autouse=True)
def _own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps what is loaded from becoming the `__main__` of later tests."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(autouse=True)
def _pickled_by_value() -> Iterator[None]:
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.mark.parametrize(
    ("model", "outputs"),
    [
        (lambda inputs: [each + 1 for each in inputs], [2, 3]),
        (_Model(), [2, 4]),
        (_Model, [2, 4]),
        (_WarmModel(), [3, 6]),
        (_WarmModel, [3, 6]),
    ],
    ids=["function", "object", "class", "object with warm_up", "class with warm_up"],
)
def test_a_model_is_loaded_and_warmed_up(tmp_path: Path, model: object, outputs: list[int]) -> None:
    assert _load(save(tmp_path, model))([1, 2]) == outputs  # type: ignore[arg-type]


def test_a_model_is_called_by_the_names_that_lie_beside_it(tmp_path: Path) -> None:
    (tmp_path / "func.input_names.json").write_text('["age", "income"]')
    function = _load(save(tmp_path, lambda inputs: inputs["income"].tolist()))
    assert function(np.array([[1, 2], [3, 4]])) == [2, 4]


def test_names_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "func.input_names.json").write_text("age, income")
    with pytest.raises(UnusableModel, match="failed while it was loaded: JSONDecodeError"):
        _load(save(tmp_path, _Model()))


def test_a_missing_directory_and_a_missing_file_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UnusableModel, match="absent' does not exist"):
        _load(tmp_path / "absent")
    with pytest.raises(UnusableModel, match=r"has no func\.pkl"):
        _load(tmp_path)


@pytest.mark.parametrize("model", [42, {"weights": [1]}, dict], ids=["number", "dict", "class"])
def test_what_cannot_be_called_is_no_model(tmp_path: Path, model: object) -> None:
    with pytest.raises(UnusableModel, match="must hold a function, or a class or an object with predict; it holds "):
        _load(save(tmp_path, model))


def test_a_missing_module_comes_with_the_advice_to_install_the_package_that_brought_it(tmp_path: Path) -> None:
    (tmp_path / "func.pkl").write_bytes(b"cabsent_module.deeper\nfunction\n.")
    (tmp_path / "func.packages.json").write_text('{"absent_module": "some-package==1.2"}')
    with pytest.raises(
        MissingModule, match=r"No module named 'absent_module'.*pkgs_to_install=\['some-package==1\.2'\]"
    ):
        _load(tmp_path)


def test_a_module_that_only_the_warm_up_needs_is_missed_too(tmp_path: Path) -> None:
    class Lazy(_Model):
        def warm_up(self) -> None:
            import absent_module  # type: ignore[import-not-found]  # noqa: F401

    with pytest.raises(MissingModule):
        _load(save(tmp_path, Lazy()))


@pytest.mark.parametrize(
    ("model", "error"),
    [
        (_Unpickled(exec, "raise ValueError('no weights')"), "ValueError: no weights"),
        (_Unpickled(sys.exit, 0), "SystemExit: 0"),
        (_NeedsArguments, "TypeError: .*path"),
    ],
    ids=["exception", "exit", "arguments"],
)
def test_a_model_that_fails_while_it_is_loaded_is_told(tmp_path: Path, model: object, error: str) -> None:
    with pytest.raises(UnusableModel, match=f"failed while it was loaded: {error}"):
        _load(save(tmp_path, model))


def test_a_truncated_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "func.pkl").write_bytes(b"")
    with pytest.raises(UnusableModel, match="EOFError"):
        _load(tmp_path)

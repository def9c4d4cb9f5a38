"""What a container makes of a trained model, where nothing of the library is."""

import functools
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipper_admin import closures
from clipper_admin.deployers import loaded_model
from clipper_admin.deployers.loaded_model import LoadedModel, batch_of_numbers, batch_of_text

# Clipper's library is not in containers, and neither is what has called it.
_CONTAINER = """
import pickle, sys
sys.modules |= dict.fromkeys(("clipper_admin", "tests"))
model = pickle.load(open(sys.argv[1], "rb"))
model.warm_up()
print(model.predict([1.0, 2.0]))
"""


def _load(directory: str) -> Any:
    return float(Path(directory, "factor").read_text())


def _times(factor: float, inputs: Any) -> Any:
    return [factor * each for each in inputs]


def _model(load: Any = _load, **saved_with: str) -> LoadedModel:
    return LoadedModel("Abacus", load, _times, None, saved_with)


def _raises(error: Exception, directory: str) -> Any:
    raise error


def _refusal(load: Any, **saved_with: str) -> str:
    with pytest.raises(RuntimeError) as refused:
        _model(load, **saved_with).warm_up()
    return str(refused.value)


def test_it_needs_nothing_of_the_library(tmp_path: Path) -> None:
    (tmp_path / loaded_model.DIRECTORY).mkdir()
    (tmp_path / loaded_model.DIRECTORY / "factor").write_text("3")
    with closures.saved(_model(), by_value=(loaded_model, sys.modules[__name__])) as directory:
        command = (sys.executable, "-c", _CONTAINER, str(directory / closures.FUNCTION_FILE))
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (ran.stdout, ran.stderr) == ("[3.0, 6.0]\n", "")


def test_it_is_asked_its_sample_when_it_is_warmed_up() -> None:
    asked: list[Any] = []
    sample = functools.partial(batch_of_text, "ä")
    LoadedModel("Abacus", lambda _: "model", lambda *told: asked.append(told), sample, {}).warm_up()

    assert asked == [("model", ["ä"])]


@pytest.mark.parametrize(("dtype", "numbers"), [("i1", [1, -2]), ("<i4", [1, 2]), ("<f4", [0.1]), ("<f8", [])])
def test_a_sample_of_numbers_is_a_batch_of_one(dtype: str, numbers: list[float]) -> None:
    batch = batch_of_numbers(np.array(numbers, dtype).tobytes(), dtype, ())

    assert batch.dtype == np.dtype(dtype)
    assert batch.shape == (1, len(numbers))
    assert batch.flags.writeable


def test_a_sample_with_names_is_a_frame_or_without_pandas_a_dict(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = np.array([1.0, 2.0]).tobytes()
    assert batch_of_numbers(packed, "<f8", ("age", "income")).to_dict("records") == [{"age": 1.0, "income": 2.0}]

    monkeypatch.setitem(sys.modules, "pandas", None)
    assert batch_of_numbers(packed, "<f8", ("age", "income")) == {"age": [1.0], "income": [2.0]}


def test_a_model_of_other_versions_is_told_with_both() -> None:
    told = _refusal(functools.partial(_raises, ValueError("no such node")), numpy="0.1", absent="2.0")

    assert told.startswith("the Abacus model cannot be loaded: ValueError: no such node. ")
    assert f"saved with numpy==0.1, absent==2.0, and here is numpy {version('numpy')}, absent (not installed)" in told
    assert "leave these packages out of pkgs_to_install, or name the versions that have saved it" in told


def test_a_damaged_model_is_told_as_such() -> None:
    told = _refusal(functools.partial(_raises, ValueError("bad magic number")), numpy=version("numpy"))

    assert "bad magic number. What was deployed is damaged, or no model of this framework" in told


def test_a_module_that_is_missing_is_left_to_the_container_to_tell() -> None:
    with pytest.raises(ModuleNotFoundError, match="abacus"):
        _model(functools.partial(_raises, ModuleNotFoundError("abacus", name="abacus"))).warm_up()

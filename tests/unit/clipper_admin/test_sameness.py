"""Whether functions are the same, as what they do tells, and not their bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import numpy as np

weights = np.arange(1000.0)
WORDS = {"north", "east", "south", "west", "a word of several words"}


class Model:
    \"\"\"A model.\"\"\"

    offset = 3

    def predict(self, inputs):
        return [self.score(each) for each in inputs]

    def score(self, vector):
        if str(vector) in {"up", "down", "charm", "strange"} or str(vector) in WORDS:
            return self.again(vector)
        return float(weights @ vector) + self.offset

    def again(self, vector):
        return [score(vector) for score in (self.score, helped)]


def helped(vector):
    import json
    return json.dumps(list(vector)) if vector is not None else helped(vector)


model = Model()


def function(inputs):
    return model.predict(inputs)
"""
PRINT = """
from clipper_admin import closures
print(closures.fingerprint(closures.pickled(function).data))
"""


def fingerprint(directory: Path, script: str, file: str = "script.py", seed: str = "1") -> str:
    """That of the function of a script, run by an interpreter of its own."""
    path = directory / file
    path.write_text(script + PRINT)
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    finished = subprocess.run([sys.executable, str(path)], env=environment, capture_output=True, text=True, check=True)
    return finished.stdout


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The fingerprint of the script's function."""
    return fingerprint(tmp_path_factory.mktemp("original"), SCRIPT)


@pytest.mark.parametrize("seed", ["2", "3"])
def test_a_script_that_is_run_again_has_the_same_function(tmp_path: Path, original: str, seed: str) -> None:
    assert fingerprint(tmp_path, SCRIPT, seed=seed) == original


def test_a_function_that_has_moved_is_the_same(tmp_path: Path, original: str) -> None:
    assert fingerprint(tmp_path, "# A remark.\n\n" + SCRIPT, file="another.py") == original


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("offset = 3", "offset = 4"),
        ("arange(1000.0)", "arange(1000.0) + (np.arange(1000) == 999)"),
        ("charm", "bottom"),
        ("a word of several words", "another"),
        ("list(vector)", "list(vector * 2)"),
        ("weights @ vector", "weights @ -vector"),
        ("is not None", "is None"),
        ("(self.score, helped)", "(helped, self.score)"),
    ],
)
def test_a_function_of_which_anything_has_changed_is_another(
    tmp_path: Path, original: str, before: str, after: str
) -> None:
    assert before in SCRIPT
    assert fingerprint(tmp_path, SCRIPT.replace(before, after)) != original

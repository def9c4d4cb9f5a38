"""Functions as files."""

import importlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipper_admin import ClipperException
from clipper_admin.deployers import closures

MODULE = """
import statistics

OFFSET = 10

def centre(numbers):
    return statistics.median(numbers) + OFFSET
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module that only this interpreter can import."""
    (tmp_path / "my_features.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_features"
    sys.modules.pop("my_features", None)


def test_a_function_travels_with_modules_of_the_users_own_and_without_installed_ones(own_module: str) -> None:
    my_features = importlib.import_module(own_module)

    with closures.saved(lambda inputs: [str(my_features.centre(numbers)) for numbers in inputs]) as directory:
        program = f"import pickle; print(pickle.load(open({str(directory / 'func.pkl')!r}, 'rb'))([[1, 2, 3]]))"
        elsewhere = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        pickled = (directory / "func.pkl").read_bytes()

    assert elsewhere.stdout.strip() == "['12']"
    assert b"geometric_mean" not in pickled
    assert not directory.exists()


def test_a_function_that_cannot_be_pickled_is_refused_with_the_reason() -> None:
    lock = threading.Lock()

    with (
        pytest.raises(ClipperException, match=r"cannot be serialised: TypeError: .*lock"),
        closures.saved(lambda: lock),
    ):
        pass

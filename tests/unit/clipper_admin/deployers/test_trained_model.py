"""What is the same of all models that a framework has trained."""

import subprocess
import sys

import pytest

from clipper_admin import ClipperException
from clipper_admin.deployers import trained_model

_FRAMEWORKS = (
    "keras",
    "lightgbm",
    "mlflow",
    "onnx",
    "onnxruntime",
    "skops",
    "sklearn",
    "tensorflow",
    "torch",
    "xgboost",
)


def test_no_framework_is_imported_before_it_is_used() -> None:
    program = f"import sys, clipper_admin.deployers; print([name for name in {_FRAMEWORKS} if name in sys.modules])"

    told = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_a_framework_that_is_not_installed_is_named() -> None:
    with pytest.raises(ClipperException, match=r"of Abacus .* the package abacus-core, .*: pip install abacus-core"):
        trained_model.imported("abacus", "abacus-core", "Abacus")


def test_what_a_model_says_when_it_cannot_be_saved_is_told() -> None:
    with (
        pytest.raises(
            ClipperException, match=r"The Abacus model cannot be saved: ValueError: no beads\. .*deployers\.python"
        ),
        trained_model.saving("Abacus"),
    ):
        raise ValueError("no beads")


def test_a_method_that_a_model_has_not_got_is_refused() -> None:
    assert trained_model.method_of([], "append") == "append"
    with pytest.raises(ClipperException, match="The list has no method 'predict'"):
        trained_model.method_of([], "predict")

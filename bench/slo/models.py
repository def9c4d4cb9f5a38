"""The models that are served, and the questions they are asked.

The classifiers are scikit-learn's, trained on one half of its digits, scaled up to the 28 x 28 pixels of the paper's
MNIST. The others wait instead of computing: they stand for an accelerator, and cost the machine nothing.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC, LinearSVC

PIXELS = 28 * 28
PACKAGES = ("scikit-learn==1.9.1",)

Images = NDArray[np.float64]
Function = Callable[[Images], Sequence[Any]]

_SEED = 0
# The paper's forest (figures 3 and 9).
_TREES = 10
_DEPTH = 16
_BLANK = "0"


class Classifier(Protocol):
    """What scikit-learn's classifiers have in common."""

    def fit(self, images: Images, digits: NDArray[np.int64]) -> "Classifier":
        """Trains."""

    def predict(self, images: Images) -> NDArray[np.int64]:
        """The digit of each image."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model under measurement.

    Attributes:
        name: names the model and its application.
        title: what the tables call it.
        function: what is deployed.
        questions: images to ask it about, of shape (questions, pixels).
        answers: what it answers to each.
        packages: what it needs, as pip takes it.
    """

    name: str
    title: str
    function: Function
    questions: Images
    answers: tuple[str, ...]
    packages: tuple[str, ...] = ()


def classifiers() -> list[Subject]:
    """The paper's models, trained: no-op, logistic regression, linear SVM, random forest, kernel SVM."""
    train_images, images, train_digits, _ = train_test_split(*_digits(), test_size=0.5, random_state=_SEED)
    trained: list[tuple[str, str, Classifier]] = [
        ("logistic-regression", "logistic regression", LogisticRegression(max_iter=500)),
        ("linear-svm", "linear SVM", LinearSVC(random_state=_SEED)),
        ("random-forest", "random forest", RandomForestClassifier(_TREES, max_depth=_DEPTH, random_state=_SEED)),
        ("kernel-svm", "kernel SVM", SVC(gamma="scale")),
    ]
    subjects = [Subject("no-op", "no-op", _no_op, images, (_BLANK,) * len(images))]
    for name, title, classifier in trained:
        classifier.fit(train_images, train_digits)
        answers = tuple(str(digit) for digit in classifier.predict(images))
        subjects.append(Subject(name, title, _classifying(classifier), images, answers, PACKAGES))
    return subjects


def waiting(name: str, *, batch_s: float, input_s: float) -> Subject:
    """A model that waits for `batch_s` and for each input `input_s`, as one on an accelerator does."""

    def wait(inputs: Images) -> list[str]:
        time.sleep(batch_s + input_s * len(inputs))
        return [_BLANK] * len(inputs)

    images, _ = _digits()
    return Subject(name, name, wait, images, (_BLANK,) * len(images))


def _digits() -> tuple[Images, NDArray[np.int64]]:
    small, digits = load_digits(return_X_y=True)
    large = np.kron(small.reshape(-1, 8, 8), np.ones((4, 4)))
    return large[:, 2:-2, 2:-2].reshape(len(small), PIXELS) / 16, digits


def _no_op(inputs: Images) -> list[str]:
    return ["0"] * len(inputs)


def _classifying(classifier: Classifier) -> Function:
    def classify(inputs: Images) -> list[int]:
        return classifier.predict(inputs).tolist()  # type: ignore[no-any-return]

    return classify

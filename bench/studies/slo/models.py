"""The models that are served, and the questions they are asked.

The classifiers are scikit-learn's, trained on one half of its digits, scaled up to the 28 x 28 pixels of the paper's
MNIST. The others wait instead of computing: they stand for an accelerator, and cost the machine nothing.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC, LinearSVC

from bench.rig.models import PACKAGES, Classifier, Digits, Images, Model, classifying, constant
from bench.rig.questions import Question, question

PIXELS = 28 * 28

_SEED = 0
# The paper's forest (figures 3 and 9).
_TREES = 10
_DEPTH = 16
_BLANK = "0"
# Enough that no two neighbours are alike, few enough to stay in the processor's cache for small calls.
_DIFFERENT_CALLS = 16


@dataclass(frozen=True, slots=True)
class Subject:
    """A model under measurement.

    Attributes:
        title: what the tables call it.
        model: what is served, for an application of its name.
        images: what it is asked about, of shape (images, pixels).
        answers: what it answers to each.
    """

    title: str
    model: Model
    images: Images
    answers: Sequence[str]

    def calls(self, application: str, inputs: int) -> list[Question]:
        """Different calls of so many inputs each."""
        places = np.arange(_DIFFERENT_CALLS * inputs).reshape(_DIFFERENT_CALLS, inputs) % len(self.images)
        return [
            question(application, self.images[row], [self.answers[place] for place in row.tolist()]) for row in places
        ]

    def marked(self, application: str, numbers: Sequence[int]) -> list[Question]:
        """Calls of one input each, equal exactly where the numbers are."""
        image = self.images[:1].copy()
        questions = []
        for number in numbers:
            image[0, 0] = number
            questions.append(question(application, image, self.answers[:1]))
        return questions


def classifiers() -> list[Subject]:
    """The paper's models, trained: no-op, logistic regression, linear SVM, random forest, kernel SVM."""
    train_images, images, train_digits, _ = train_test_split(*_digits(), test_size=0.5, random_state=_SEED)
    kinds: dict[str, Classifier] = {
        "logistic regression": LogisticRegression(max_iter=500),
        "linear SVM": LinearSVC(random_state=_SEED),
        "random forest": RandomForestClassifier(_TREES, max_depth=_DEPTH, random_state=_SEED),
        "kernel SVM": SVC(gamma="scale"),
    }
    subjects = [Subject("no-op", constant("no-op", _BLANK), images, (_BLANK,) * len(images))]
    for title, classifier in kinds.items():
        function = classifying(classifier, train_images, train_digits)
        model = Model(title.lower().replace(" ", "-"), function, PACKAGES)
        subjects.append(Subject(title, model, images, model.outputs(images)))
    return subjects


def waiting(name: str, *, batch_s: float, input_s: float) -> Subject:
    """A model that waits for `batch_s` and for each input `input_s`, as one on an accelerator does."""

    def wait(inputs: Images) -> list[str]:
        time.sleep(batch_s + input_s * len(inputs))
        return [_BLANK] * len(inputs)

    images, _ = _digits()
    return Subject(name, Model(name, wait), images, (_BLANK,) * len(images))


def _digits() -> tuple[Images, Digits]:
    small, digits = load_digits(return_X_y=True)
    large = np.kron(small.reshape(-1, 8, 8), np.ones((4, 4)))
    return large[:, 2:-2, 2:-2].reshape(len(small), PIXELS) / 16, digits

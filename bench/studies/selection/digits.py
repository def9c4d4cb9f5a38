"""Digits for as long as somebody asks, and classifiers of them that are not equally good.

The images are scikit-learn's. Half of them are for training; queries are drawn from the other half, each with noise of
its own, so that no two are equal and every classifier errs now and then.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from bench.rig.models import PACKAGES, Classifier, Digits, Function, Images, Model
from bench.rig.models import classifying as trained

SIDE = 8
PIXELS = SIDE * SIDE
NOISE = 0.15
_BRIGHTEST = 16
_SEED = 0


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images, and what they show."""

    images: Images
    digits: Digits

    @property
    def labels(self) -> list[str]:
        """What they show, as models say it."""
        return [str(digit) for digit in self.digits]


def queries(count: int, seed: int) -> Labelled:
    """Images that no classifier was trained on."""
    return _drawn(_halves()[1], count, np.random.default_rng(seed))


def training(count: int, seed: int) -> Labelled:
    """Images to train with, noisy as those of queries."""
    return _drawn(_halves()[0], count, np.random.default_rng(seed))


def classifiers() -> list[Model]:
    """Five, the best one last: each learned from a few images of its own."""
    kinds: list[tuple[str, Classifier, int]] = [
        ("tree", DecisionTreeClassifier(max_depth=12, random_state=_SEED), 1_500),
        ("bayes", GaussianNB(), 200),
        ("logistic", LogisticRegression(max_iter=500), 150),
        ("perceptron", MLPClassifier((32,), max_iter=1_000, random_state=_SEED), 200),
        ("svm", SVC(gamma="scale"), 180),
    ]
    return [
        Model(name, classifying(kind, training(count, seed)), PACKAGES)
        for seed, (name, kind, count) in enumerate(kinds)
    ]


def classifying(classifier: Classifier, examples: Labelled) -> Function:
    """A classifier, trained with examples."""
    return trained(classifier, examples.images, examples.digits)


def _drawn(source: Labelled, count: int, chance: np.random.Generator) -> Labelled:
    rows = chance.integers(len(source.digits), size=count)
    noise = chance.normal(0.0, NOISE, (count, PIXELS))
    return Labelled(source.images[rows] + noise, source.digits[rows])


@cache
def _halves() -> tuple[Labelled, Labelled]:
    images, digits = load_digits(return_X_y=True)
    seen, unseen, seen_digits, unseen_digits = train_test_split(
        images / _BRIGHTEST, digits, test_size=0.5, random_state=_SEED
    )
    return Labelled(seen, seen_digits), Labelled(unseen, unseen_digits)

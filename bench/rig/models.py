"""Models to be served."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.rig.payloads import OUTPUT

PACKAGES = ("scikit-learn==1.9.1",)

Images = NDArray[np.float64]
"""Of shape (images, pixels); whatever else a model takes has this shape, too."""
Digits = NDArray[np.int64]
Function = Callable[[Images], Sequence[Any]]


class Classifier(Protocol):
    """What scikit-learn's classifiers have in common."""

    def fit(self, images: Images, digits: Digits) -> "Classifier":
        """Learns the digits of images."""

    def predict(self, images: Images) -> Digits:
        """The digit of each image."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model to be served.

    Attributes:
        name: its name.
        function: what is deployed.
        packages: what it needs, as pip takes it.
    """

    name: str
    function: Function
    packages: tuple[str, ...] = ()

    def outputs(self, inputs: Images) -> list[str]:
        """What it says, as its container would."""
        return [str(output) for output in self.function(inputs)]


def constant(name: str, output: str = OUTPUT) -> Model:
    """A model that returns the same output for each input, at once."""
    return Model(name, lambda inputs: [output] * len(inputs))


def classifying(classifier: Classifier, examples: Images, digits: Digits) -> Function:
    """A classifier, trained; it does not look at what comes behind an input's pixels."""
    classifier.fit(examples, digits)
    pixels = examples.shape[1]

    def classify(inputs: Images) -> list[int]:
        return classifier.predict(inputs[:, :pixels]).tolist()  # type: ignore[no-any-return]

    return classify

"""A real classifier in an environment of its own: whichever way it is asked, it answers as it does offline."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import requests
from clipper.v1 import input_pb2, query_service_pb2
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from clipper_admin import ClipperConnection
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.clients import NativeClient, RestClient

# The first one may have to wait for the model's environment.
pytestmark = pytest.mark.timeout(300)

APPLICATION = "digits"
SLO_MICROS = 5_000_000


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The half of the images that the classifier has not seen.

    Attributes:
        address: where their classification is asked for.
        images: shape (images, 64).
        digits: what they show.
        expected: what the classifier says offline.
    """

    address: str
    images: NDArray[np.float64]
    digits: NDArray[np.int64]
    expected: list[int]


@pytest.fixture(scope="module")
def held_out(cluster: ClipperConnection) -> Iterator[HeldOut]:
    """The held out half, and a deployed classifier that was trained on the other."""
    images, digits = load_digits(return_X_y=True)
    seen, unseen, seen_digits, unseen_digits = train_test_split(images, digits, test_size=0.5, random_state=0)
    classifier = SVC(gamma=0.001).fit(seen, seen_digits)

    def classify(inputs: NDArray[np.float64]) -> list[str]:
        return [str(digit) for digit in classifier.predict(inputs)]

    python_deployer.create_endpoint(
        cluster,
        APPLICATION,
        "doubles",
        classify,
        default_output="-1",
        slo_micros=SLO_MICROS,
        pkgs_to_install=["scikit-learn==1.9.1"],
    )
    yield HeldOut(cluster.get_query_addr(), unseen, unseen_digits, [int(digit) for digit in classifier.predict(unseen)])
    cluster.stop_models([APPLICATION])


def test_rest_one_by_one(held_out: HeldOut, capsys: pytest.CaptureFixture[str]) -> None:
    with RestClient(held_out.address, APPLICATION) as client:
        answers = [client.ask(image) for image in held_out.images]

    assert all(answer.is_prediction for answer in answers)
    assert [answer.output for answer in answers] == held_out.expected
    accuracy = np.mean(np.array(held_out.expected) == held_out.digits)
    with capsys.disabled():
        print(f"\naccuracy on {len(answers)} held out digits: {accuracy:.1%}")  # noqa: T201
    assert accuracy > 0.95


def test_rest_in_batches(held_out: HeldOut) -> None:
    outputs: list[int] = []
    for images in np.array_split(held_out.images, 5):
        answer = requests.post(
            f"http://{held_out.address}/{APPLICATION}/predict", json={"input_batch": images.tolist()}, timeout=10
        )
        predictions = answer.json()["batch_predictions"]
        assert not any(prediction["default"] for prediction in predictions)
        outputs += [prediction["output"] for prediction in predictions]

    assert outputs == held_out.expected


def test_grpc_one_by_one(held_out: HeldOut) -> None:
    with NativeClient(held_out.address, APPLICATION) as client:
        answers = [client.ask(image) for image in held_out.images]

    assert all(answer.is_prediction for answer in answers)
    assert [answer.output for answer in answers] == held_out.expected


def test_grpc_as_one_batch(held_out: HeldOut) -> None:
    inputs = input_pb2.Inputs(
        type=input_pb2.INPUT_TYPE_DOUBLES,
        data=held_out.images.tobytes(),
        lengths=[image.size for image in held_out.images],
    )

    with NativeClient(held_out.address, APPLICATION) as client:
        request = query_service_pb2.PredictRequest(application=APPLICATION, inputs=inputs)
        predictions = client.stub.Predict(request, timeout=10).predictions

    assert not any(prediction.is_default for prediction in predictions)
    assert [int(prediction.output) for prediction in predictions] == held_out.expected

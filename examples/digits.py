"""The demonstration: a digit classifier is trained, deployed and asked by REST and gRPC, and stays up for more.

`make run` runs it, also on a cluster that runs already; `make stop` ends what it leaves running.

It trains on one half of scikit-learn's bundled digits and lets the cluster classify the other half, one image at a
time, as one batch, and over native gRPC. Each answer is compared with what the classifier says in this process.
"""

import statistics
import sys
import time

import grpc
import numpy as np
import requests
from clipper.v1 import input_pb2, query_service_pb2, query_service_pb2_grpc
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from clipper_admin import ClipperConnection, ClipperException, ProcessContainerManager
from clipper_admin.deployers import python as python_deployer

APPLICATION = "digits"
PACKAGES = ["scikit-learn==1.9.1"]
# Generous: a laptop may be busy with other things.
SLO_MICROS = 1_000_000
SHOWN_ANSWERS = 5

Images = NDArray[np.float64]


def main() -> None:
    """Runs the demonstration and leaves the cluster running."""
    images, digits = load_digits(return_X_y=True)
    train_images, images, train_digits, digits = train_test_split(images, digits, test_size=0.5, random_state=0)
    classifier = SVC(gamma=0.001).fit(train_images, train_digits)
    expected = [int(digit) for digit in classifier.predict(images)]
    print(f"Trained on {len(train_images)} images; {len(images)} are held out.")

    clipper_conn = ClipperConnection(ProcessContainerManager())
    try:
        clipper_conn.start_clipper()
    except ClipperException as error:
        sys.exit(error.msg)
    deploy(clipper_conn, classifier)
    address = clipper_conn.get_query_addr()
    answers = ask_one_by_one(address, images, digits)
    check("REST, one image a request", answers, expected)
    check("REST, one batch", ask_as_batch(address, images), expected)
    check("gRPC, one batch", ask_by_grpc(address, images), expected)
    accuracy = float(np.mean(np.array(answers) == digits))
    print(f"\nAccuracy on the held-out half: {accuracy:.1%}")
    show_what_to_try(clipper_conn, images[0])


def deploy(clipper_conn: ClipperConnection, classifier: SVC) -> None:
    """Makes the classifier answer at /digits/predict, in place of what an earlier run has left there."""
    if APPLICATION in clipper_conn.get_all_apps():
        clipper_conn.unregister_application(APPLICATION)
    clipper_conn.stop_models([APPLICATION])

    def classify(inputs: Images) -> list[str]:
        return [str(digit) for digit in classifier.predict(inputs)]

    python_deployer.create_endpoint(
        clipper_conn,
        name=APPLICATION,
        input_type="doubles",
        func=classify,
        default_output="-1",
        slo_micros=SLO_MICROS,
        pkgs_to_install=PACKAGES,
    )


def ask_one_by_one(address: str, images: Images, digits: NDArray[np.int64]) -> list[int]:
    """Asks for each image by REST and shows some answers and how long they took."""
    url = f"http://{address}/{APPLICATION}/predict"
    answers, latencies_ms = [], []
    with requests.Session() as session:
        for number, (image, digit) in enumerate(zip(images, digits, strict=True)):
            started = time.perf_counter()
            response = session.post(url, json={"input": image.tolist()}, timeout=10)
            latencies_ms.append((time.perf_counter() - started) * 1000)
            answers.append(int(response.json()["output"]))
            if number < SHOWN_ANSWERS:
                print(f"  a {digit}: {response.text}  {latencies_ms[-1]:.1f} ms")
    print(f"  median latency over {len(latencies_ms)} requests: {statistics.median(latencies_ms):.1f} ms")
    return answers


def ask_as_batch(address: str, images: Images) -> list[int]:
    """Asks for all images in one REST request."""
    response = requests.post(
        f"http://{address}/{APPLICATION}/predict", json={"input_batch": images.tolist()}, timeout=10
    )
    return [int(prediction["output"]) for prediction in response.json()["batch_predictions"]]


def ask_by_grpc(address: str, images: Images) -> list[int]:
    """Asks for all images in one native gRPC request."""
    inputs = input_pb2.Inputs(
        type=input_pb2.INPUT_TYPE_DOUBLES,
        data=images.astype("<f8").tobytes(),
        lengths=[image.size for image in images],
    )
    with grpc.insecure_channel(address) as channel:
        stub = query_service_pb2_grpc.QueryServiceStub(channel)
        response = stub.Predict(query_service_pb2.PredictRequest(application=APPLICATION, inputs=inputs), timeout=10)
    return [int(prediction.output) for prediction in response.predictions]


def check(how: str, answers: list[int], expected: list[int]) -> None:
    """Compares the cluster's answers with the classifier's own."""
    different = sum(answer != own for answer, own in zip(answers, expected, strict=True))
    print(f"{how}: {len(answers) - different} of {len(expected)} answers as the classifier gives them here")
    if different:
        raise SystemExit(f"{different} answers differ; see the cluster's logs")


def show_what_to_try(clipper_conn: ClipperConnection, image: Images) -> None:
    """Prints commands for the cluster that is left running."""
    address, admin_address = clipper_conn.get_query_addr(), clipper_conn.cm.get_admin_addr()
    pixels = ",".join(f"{pixel:g}" for pixel in image)
    print(
        f"""
The cluster keeps running. Try

  curl -d '{{"input": [{pixels}]}}' http://{address}/{APPLICATION}/predict
  curl http://{address}/metrics
  curl -d '{{"verbose": true}}' http://{admin_address}/admin/get_all_models
  curl http://{clipper_conn.get_metric_addr()}/metrics

and, when done, make stop"""
    )


if __name__ == "__main__":
    main()

"""Models that run in a notebook run here: what they return, over REST, and what they find."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import requests

from clipper_admin import ClipperConnection
from clipper_admin.deployers import python as python_deployer

_SLO_MICROS = 10_000_000
_SCRIPT = """
import multiprocessing, pickle, tempfile
from clipper_admin import ClipperConnection, ProcessContainerManager
from clipper_admin.deployers import python as python_deployer

class Half:
    def of(self, number):
        return number / 2

def squared(number):
    return number ** 2

def predict(inputs):
    with multiprocessing.Pool(2) as pool:
        squares = pool.map(squared, [float(row[0]) for row in inputs])
    with open(file, "rb") as pickled:
        half = pickle.load(pickled)
    return [half.of(square) for square in squares]

file = tempfile.mkstemp()[1]
with open(file, "wb") as pickled:
    pickle.dump(Half(), pickled)
connection = ClipperConnection(ProcessContainerManager("shared", query_port=0, management_port=0, metrics_port=0))
connection.connect()
python_deployer.create_endpoint(connection, "of-a-script", "doubles", predict, slo_micros=10_000_000)
"""


class _Named(NamedTuple):
    label: str
    score: Any


def _endpoint(cluster: ClipperConnection, name: str, func: Callable[[Any], Any]) -> None:
    python_deployer.create_endpoint(cluster, name, "doubles", func, slo_micros=_SLO_MICROS, check=False)


def _outputs(cluster: ClipperConnection, name: str, *inputs: float) -> list[Any]:
    url = f"http://{cluster.get_query_addr()}/{name}/predict"
    answer = requests.post(url, json={"input_batch": [[number] for number in inputs]}, timeout=20)
    predictions = json.loads(answer.text)["batch_predictions"]
    assert [prediction.get("default_explanation") for prediction in predictions] == [None] * len(inputs)
    return [prediction["output"] for prediction in predictions]


def test_outputs_are_embedded_as_what_they_are(cluster: ClipperConnection) -> None:
    outputs = [
        {1: "one", None: "none"},
        _Named("a", np.float32(0.1)),
        [1.5, float("nan")],
        np.array([0.1, 0.5], np.float32),
        {"set": {2, 1}, "tuple": (1, 2)},
    ]

    async def predict(inputs: Any) -> list[Any]:
        return [outputs[int(row[0])] for row in inputs]

    _endpoint(cluster, "outputs", predict)
    assert _outputs(cluster, "outputs", 0, 1, 2, 3, 4) == [
        {"1": "one", "null": "none"},
        {"label": "a", "score": 0.1},
        [1.5, None],
        [0.1, 0.5],
        {"set": [1, 2], "tuple": [1, 2]},
    ]


def test_a_model_finds_its_scripts_functions_and_classes(cluster: ClipperConnection) -> None:
    subprocess.run([sys.executable, "-c", _SCRIPT], check=True)
    assert _outputs(cluster, "of-a-script", 2, 3) == [2.0, 4.5]

"""The query service's own counts, read from its metrics port, against which the generator's are held."""

import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

_TIMEOUT_S = 10.0
_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Counters:
    """Counts of one application and one model.

    Attributes:
        predictions: answers, defaults included.
        defaults: answers with the default output.
        batches: batches that replicas answered.
        inputs: the inputs in them.
    """

    predictions: int
    defaults: int
    batches: int
    inputs: int

    def __sub__(self, earlier: Self) -> "Counters":
        return Counters(
            self.predictions - earlier.predictions,
            self.defaults - earlier.defaults,
            self.batches - earlier.batches,
            self.inputs - earlier.inputs,
        )


NONE = Counters(0, 0, 0, 0)
"""Of who counts nothing."""


def reader(metrics: str, application: str, model: str | None = None) -> Callable[[], Counters]:
    """Reads counters at the metrics port host:port `metrics`, once they stand still; the model is that of the name."""

    def read() -> Counters:
        counters = _read(metrics, application, model or application)
        while True:
            # An answer is on its way a moment before it is counted.
            time.sleep(_PAUSE_S)
            again = _read(metrics, application, model or application)
            if again == counters:
                return counters
            counters = again

    return read


def cache_bytes(metrics: str) -> int:
    """What the cache of the query service with this metrics port takes."""
    return int(_samples(metrics)["clipper_cache_bytes", ""])


def answered_later(metrics: str, application: str, than_s: float) -> int:
    """How many of an application's requests were answered later than `than_s`, which is a bound of the histogram."""
    count = within = 0
    for family in text_string_to_metric_families(_text(metrics)):
        for sample in family.samples:
            if sample.labels.get("application") == application:
                if sample.name == "clipper_prediction_latency_seconds_count":
                    count = int(sample.value)
                if sample.name == "clipper_prediction_latency_seconds_bucket" and float(sample.labels["le"]) == than_s:
                    within = int(sample.value)
    return count - within


def _read(metrics: str, application: str, model: str) -> Counters:
    samples = _samples(metrics)
    return Counters(
        predictions=int(samples.get(("clipper_predictions_total", application), 0)),
        defaults=int(samples.get(("clipper_default_predictions_total", application), 0)),
        batches=int(samples.get(("clipper_model_batch_size_count", model), 0)),
        inputs=int(samples.get(("clipper_model_batch_size_sum", model), 0)),
    )


def _samples(metrics: str) -> dict[tuple[str, str], float]:
    """Values by the sample's name and its application or model, summed over all other labels."""
    values: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(_text(metrics)):
        for sample in family.samples:
            key = (sample.name, sample.labels.get("application") or sample.labels.get("model") or "")
            values[key] = values.get(key, 0.0) + sample.value
    return values


def _text(metrics: str) -> str:
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=_TIMEOUT_S) as response:
        return str(response.read().decode())

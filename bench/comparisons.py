"""What is compared with what, and the floors below which Clipper has lost something."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import median

from bench import lanes
from bench.measure import Sample

Samples = Mapping[str, Sequence[Sample]]
"""By lane, one a round."""


class Quantity(Enum):
    """What of a sample is compared; the value is how it is written."""

    RATE = "predictions/s"
    LATENCY = "median"

    def of(self, sample: Sample) -> float:
        """The quantity, in predictions a second or in seconds."""
        return sample.predictions_per_s if self is Quantity.RATE else sample.p50_s


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two lanes that are measured in turn.

    Attributes:
        title: what the table calls it.
        base: the lane that is compared with.
        lane: the one that is compared.
        quantity: what of them.
        floor: how many times the base a rate must be at least, or a latency may be at most; None: just to know.
    """

    title: str
    base: str
    lane: str
    quantity: Quantity
    floor: float | None = None

    def ratio(self, samples: Samples) -> float:
        """The median over the rounds of the ratios within each round, because machines drift."""
        pairs = zip(samples[self.base], samples[self.lane], strict=True)
        return median(self.quantity.of(ours) / self.quantity.of(base) for base, ours in pairs)

    def is_missed(self, samples: Samples) -> bool:
        """Whether there is a floor and the ratio is on the wrong side of it."""
        if self.floor is None:
            return False
        ratio = self.ratio(samples)
        return ratio < self.floor if self.quantity is Quantity.RATE else ratio > self.floor


AGAINST_BASELINE = (
    Comparison("native, 64 calls in flight", lanes.BASELINE_NATIVE, lanes.NATIVE, Quantity.RATE, 2.5),
    Comparison("REST, 64 connections", lanes.BASELINE_REST, lanes.REST, Quantity.RATE, 1.7),
    Comparison("native, calls of 64 vectors", lanes.BASELINE_NATIVE, lanes.VECTORS, Quantity.RATE, 10.0),
    Comparison("native, PredictStream", lanes.BASELINE_NATIVE, lanes.STREAM, Quantity.RATE),
    Comparison("native, one call at a time", lanes.BASELINE_NATIVE_ALONE, lanes.NATIVE_ALONE, Quantity.LATENCY, 2.0),
    Comparison("REST, one call at a time", lanes.BASELINE_REST_ALONE, lanes.REST_ALONE, Quantity.LATENCY, 2.5),
)

AGAINST_ONE_MODEL = (
    Comparison("one of four models, chosen by exp3", lanes.NATIVE, lanes.BANDIT_NATIVE, Quantity.RATE, 0.7),
    Comparison("four models, voting", lanes.NATIVE, lanes.ENSEMBLE_NATIVE, Quantity.RATE, 0.2),
)

AGAINST_ITSELF = (
    Comparison("adaptive batches, against batches of one", lanes.UNBATCHED, lanes.NATIVE, Quantity.RATE),
    Comparison("a cached input, against no cache", lanes.NATIVE, lanes.CACHED, Quantity.RATE),
)

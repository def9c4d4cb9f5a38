"""What is compared with what, and the floors below which Clipper has lost something."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from statistics import median
from typing import NamedTuple

from bench.rig.lanes import Sample
from bench.rig.report import Check
from bench.rig.statistics import Ratio

Samples = Mapping[str, Sequence[Sample]]
"""By lane, one a round."""


class Name(StrEnum):
    """The lanes, as the tables call them."""

    BASELINE_NATIVE = "baseline, native"
    NATIVE = "native"
    VECTORS = "native, 64 vectors a call"
    STREAM = "native, PredictStream"
    UNBATCHED = "native, batches of one"
    CACHED = "native, one cached input"
    BANDIT_NATIVE = "native, exp3 over four models"
    ENSEMBLE_NATIVE = "native, four models voting"
    BASELINE_REST = "baseline, REST"
    REST = "REST"
    BASELINE_NATIVE_ALONE = "baseline, native, one at a time"
    NATIVE_ALONE = "native, one at a time"
    BASELINE_REST_ALONE = "baseline, REST, one at a time"
    REST_ALONE = "REST, one at a time"


class Quantity(Enum):
    """What of a sample is compared; the value is how it is written."""

    RATE = "predictions/s"
    LATENCY = "median"

    def of(self, samples: Sequence[Sample]) -> list[float]:
        """The quantity of each sample, in predictions a second or in seconds."""
        return [each.predictions_per_s if self is Quantity.RATE else each.p50_s for each in samples]

    def told(self, samples: Sequence[Sample]) -> str:
        """The median, to be read."""
        middle = median(self.of(samples))
        return f"{middle:,.0f} /s" if self is Quantity.RATE else f"{middle * 1e3:.2f} ms"


class Row(NamedTuple):
    """A comparison in a table."""

    title: str
    base: str
    ours: str
    ratio: float
    floor: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two lanes that are measured in turn.

    Attributes:
        title: what the table calls it.
        base: the lane that is compared with.
        lane: the one that is compared.
        quantity: what of them.
        bound: how many times the base a rate must be at least, or a latency may be at most; None: just to know.
    """

    title: str
    base: str
    lane: str
    quantity: Quantity
    bound: float | None = None

    def ratio(self, samples: Samples) -> Ratio:
        """How many times the base."""
        return Ratio.of(self.quantity.of(samples[self.base]), self.quantity.of(samples[self.lane]))

    def row(self, samples: Samples) -> Row:
        """What a table tells of it."""
        base, ours = (self.quantity.told(samples[lane]) for lane in (self.base, self.lane))
        floor = "" if self.bound is None else self.check(samples).bound
        return Row(self.title, base, ours, self.ratio(samples).median, floor)

    def check(self, samples: Samples) -> Check:
        """The ratio against its bound."""
        what = f"{self.title}: {self.quantity.value}, against {self.base}"
        value = self.ratio(samples).median
        if self.quantity is Quantity.RATE:
            return Check(what, value, least=self.bound)
        return Check(what, value, most=self.bound)


AGAINST_BASELINE = (
    Comparison("native, 64 calls in flight", Name.BASELINE_NATIVE, Name.NATIVE, Quantity.RATE, 2.5),
    Comparison("REST, 64 connections", Name.BASELINE_REST, Name.REST, Quantity.RATE, 1.7),
    Comparison("native, calls of 64 vectors", Name.BASELINE_NATIVE, Name.VECTORS, Quantity.RATE, 10.0),
    Comparison("native, PredictStream", Name.BASELINE_NATIVE, Name.STREAM, Quantity.RATE),
    Comparison("native, one call at a time", Name.BASELINE_NATIVE_ALONE, Name.NATIVE_ALONE, Quantity.LATENCY, 2.0),
    Comparison("REST, one call at a time", Name.BASELINE_REST_ALONE, Name.REST_ALONE, Quantity.LATENCY, 2.5),
)

AGAINST_ONE_MODEL = (
    Comparison("one of four models, chosen by exp3", Name.NATIVE, Name.BANDIT_NATIVE, Quantity.RATE, 0.7),
    Comparison("four models, voting", Name.NATIVE, Name.ENSEMBLE_NATIVE, Quantity.RATE, 0.2),
)

AGAINST_ITSELF = (
    Comparison("adaptive batches, against batches of one", Name.UNBATCHED, Name.NATIVE, Quantity.RATE),
    Comparison("a cached input, against no cache", Name.NATIVE, Name.CACHED, Quantity.RATE),
)

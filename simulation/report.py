"""What became of a simulation's queries."""

import math
from array import array
from collections import Counter
from dataclasses import dataclass, field

from services.query.engine.requests import DefaultReason


@dataclass
class Score:
    """What became of some queries.

    Attributes:
        asked: queries submitted.
        cancelled: queries whose client left before the answer.
        predicted: answers with a model's output; no answer is late.
        defaults: answers with the default output, by reason.
        arrivals_s: when each query came.
        latencies_s: from submission to answer, a request each.
    """

    asked: int = 0
    cancelled: int = 0
    predicted: int = 0
    defaults: Counter[DefaultReason] = field(default_factory=Counter)
    arrivals_s: "array[float]" = field(default_factory=lambda: array("d"))
    latencies_s: "array[float]" = field(default_factory=lambda: array("d"))

    @property
    def attainment(self) -> float:
        """The share of the queries, of clients that stayed, that got a model's output by their deadline."""
        return self.predicted / max(1, self.asked - self.cancelled)

    @property
    def goodput(self) -> float:
        """Predictions by their deadline, for each second in which queries came."""
        return self.predicted / (max(self.arrivals_s) - min(self.arrivals_s))

    def latency_s(self, share: float) -> float:
        """The latency within which `share` (0 to 1) of the requests were answered."""
        return sorted(self.latencies_s)[max(0, math.ceil(share * len(self.latencies_s)) - 1)]

    def add(self, other: "Score") -> None:
        """Counts other queries, too."""
        self.asked += other.asked
        self.cancelled += other.cancelled
        self.predicted += other.predicted
        self.defaults += other.defaults
        self.arrivals_s += other.arrivals_s
        self.latencies_s += other.latencies_s


@dataclass
class Report:
    """What became of all.

    Attributes:
        scores: by application.
        batch_sizes: how many batches had which size.
        busy_s: how long all replicas together computed.
    """

    scores: dict[str, Score] = field(default_factory=dict)
    batch_sizes: Counter[int] = field(default_factory=Counter)
    busy_s: float = 0.0

    def of(self, application: str) -> Score:
        """What became of the queries of one application."""
        score = self.scores.get(application)
        if score is None:
            score = self.scores[application] = Score()
        return score

    @property
    def total(self) -> Score:
        """What became of all queries."""
        total = Score()
        for score in self.scores.values():
            total.add(score)
        return total

    @property
    def mean_batch(self) -> float:
        """Inputs in a batch."""
        return self.computed / max(1, self.batch_sizes.total())

    @property
    def computed(self) -> int:
        """Inputs in all batches."""
        return sum(size * count for size, count in self.batch_sizes.items())

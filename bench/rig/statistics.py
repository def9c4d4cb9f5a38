"""What is made of figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


def quantile(ascending: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie."""
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times one thing is another, of figures that were measured in turn.

    Attributes:
        median: over the rounds, of the ratios within each round, because machines drift.
        lowest, highest: of these.
    """

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, base: Sequence[float], ours: Sequence[float]) -> "Ratio":
        """Ours as multiples of the base, one figure of each a round."""
        ratios = [our / its for its, our in zip(base, ours, strict=True)]
        return cls(median(ratios), min(ratios), max(ratios))

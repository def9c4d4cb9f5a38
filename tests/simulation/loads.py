"""Loads: when clients ask, for what, and whether they lose patience.

Arrivals are endless iterators of the seconds between one request and the next.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

Arrivals = Callable[[Random], Iterator[float]]


def poisson(rate: float) -> Arrivals:
    """Independent clients: `rate` requests a second."""

    def gaps(seeded: Random) -> Iterator[float]:
        while True:
            yield seeded.expovariate(rate)

    return gaps


def gamma(rate: float, cv: float = 4.0) -> Arrivals:
    """Bursts: `rate` requests a second whose gaps have a coefficient of variation `cv` (1 would be Poisson)."""
    shape = 1 / cv**2

    def gaps(seeded: Random) -> Iterator[float]:
        while True:
            yield seeded.gammavariate(shape, 1 / (shape * rate))

    return gaps


def on_off(rate: float, on_s: float = 0.3, off_s: float = 0.3) -> Arrivals:
    """Crowds that come and go: `rate` requests a second on average, all within phases of about `on_s` seconds."""
    rate_on = rate * (on_s + off_s) / on_s

    def gaps(seeded: Random) -> Iterator[float]:
        left_s = seeded.expovariate(1 / on_s)
        while True:
            gap_s, pause_s = seeded.expovariate(rate_on), 0.0
            while gap_s > left_s:
                gap_s -= left_s
                pause_s += left_s + seeded.expovariate(1 / off_s)
                left_s = seeded.expovariate(1 / on_s)
            left_s -= gap_s
            yield pause_s + gap_s

    return gaps


@dataclass(frozen=True)
class Load:
    """What the clients of one application do.

    Attributes:
        application: its name.
        arrivals: when requests come.
        until_s: when they end.
        distinct_inputs: how many inputs there are to choose from.
        most_inputs: the largest request.
        cancelled: the share of requests whose client may leave before the deadline.
        bad_inputs: the share of inputs on which the model fails.
        patience_s: the clients' own deadline, from their asking.
        version: the version asked for; None for the current one.
    """

    application: str
    arrivals: Arrivals
    until_s: float
    distinct_inputs: float = math.inf
    most_inputs: int = 1
    cancelled: float = 0.0
    bad_inputs: float = 0.0
    patience_s: float = math.inf
    version: str | None = None

    def inputs(self, seeded: Random) -> list[bytes]:
        """The inputs of one request."""
        return [self._input(seeded) for _ in range(seeded.randint(1, self.most_inputs))]

    def _input(self, seeded: Random) -> bytes:
        number = seeded.randrange(int(min(self.distinct_inputs, 1 << 60)))
        return b"%s %d" % (b"bad" if seeded.random() < self.bad_inputs else b"good", number)

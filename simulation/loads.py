"""Loads: when clients ask, for what, and whether they lose patience.

Arrivals are endless iterators of the seconds between one request and the next.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from numpy.random import Generator

Arrivals = Callable[[Generator], Iterator[float]]

# Drawn at once: a draw of its own for every gap would cost more than what it is for.
_DRAWS = 1024


def poisson(rate: float) -> Arrivals:
    """Independent clients: `rate` requests a second."""

    def gaps(seeded: Generator) -> Iterator[float]:
        while True:
            yield from seeded.exponential(1 / rate, _DRAWS).tolist()

    return gaps


def gamma(rate: float, cv: float = 4.0) -> Arrivals:
    """Bursts: `rate` requests a second whose gaps have a coefficient of variation `cv` (1 would be Poisson)."""
    shape = 1 / cv**2

    def gaps(seeded: Generator) -> Iterator[float]:
        while True:
            yield from seeded.gamma(shape, 1 / (shape * rate), _DRAWS).tolist()

    return gaps


def on_off(rate: float, on_s: float = 0.3, off_s: float = 0.3) -> Arrivals:
    """Crowds that come and go: `rate` requests a second on average, all within phases of about `on_s` seconds."""
    rate_on = rate * (on_s + off_s) / on_s

    def gaps(seeded: Generator) -> Iterator[float]:
        left_s = seeded.exponential(on_s)
        for gap_s in poisson(rate_on)(seeded):
            pause_s = 0.0
            while gap_s > left_s:
                gap_s -= left_s
                pause_s += left_s + seeded.exponential(off_s)
                left_s = seeded.exponential(on_s)
            left_s -= gap_s
            yield pause_s + gap_s

    return gaps


def varying(rates: Callable[[float], float], most: float) -> Arrivals:
    """Independent clients: `rates` says how many requests a second at a time, never more than `most`."""

    def gaps(seeded: Generator) -> Iterator[float]:
        now_s = last_s = 0.0
        for gap_s in poisson(most)(seeded):
            now_s += gap_s
            if seeded.random() * most < rates(now_s):
                yield now_s - last_s
                last_s = now_s

    return gaps


def diurnal(rate: float, day_s: float, swing: float = 0.8) -> Arrivals:
    """Days and nights: `rate` requests a second on average, by day and by night more and less by `swing` of it."""
    return varying(lambda now_s: rate * (1.0 - swing * math.cos(math.tau * now_s / day_s)), rate * (1.0 + swing))


def flash(rate: float, *, factor: float = 8.0, every_s: float, lasting_s: float) -> Arrivals:
    """Crowds out of nothing: `rate` requests a second, `factor` times as many at each `every_s` seconds' end."""
    return varying(
        lambda now_s: rate * (factor if now_s % every_s >= every_s - lasting_s else 1.0),
        rate * factor,
    )


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
        contexts: on how many behalves they ask; 0: on nobody's.
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
    contexts: int = 0

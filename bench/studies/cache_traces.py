"""Who asks a prediction cache for what: endless seeded sequences of numbers, each an input."""

import heapq
import random
from collections.abc import Iterator
from itertools import accumulate, count, islice

UNIVERSE = 30_000
_SEED = 7


def all_traces() -> dict[str, Iterator[int]]:
    """The traces by what they are."""
    return {
        **{f"Zipf {exponent}": _zipf(exponent) for exponent in (0.6, 0.8, 1.0, 1.2)},
        "Zipf 0.9, drifting slowly": _drifting(0.9, every=50),
        "Zipf 1.0, drifting fast": _drifting(1.0, every=5),
        "Zipf 0.9, a fifth scans": _with_scans(0.9, scan=1_000, pause=4_000),
        "Zipf 0.9, half scans": _with_scans(0.9, scan=3_000, pause=3_000),
        "loop of 4,000": _loop(4_000),
        "Zipf 0.9 and loop of 3,000": _in_turns(_zipf(0.9), _loop(3_000)),
        "300 short-lived": _short_lived(300),
        "1,500 short-lived": _short_lived(1_500),
        "Zipf 0.9 and feedback": _with_feedback(0.9, lag=1_000),
    }


def _zipf(exponent: float) -> Iterator[int]:
    generator = random.Random(_SEED)
    weights = list(accumulate((rank + 1) ** -exponent for rank in range(UNIVERSE)))
    while True:
        yield from generator.choices(range(UNIVERSE), cum_weights=weights, k=1_000)


def _drifting(exponent: float, every: int) -> Iterator[int]:
    """Another input becomes the most popular every so many requests, and all the others less so."""
    return ((rank - turn // every) % UNIVERSE for turn, rank in enumerate(_zipf(exponent)))


def _with_scans(exponent: float, scan: int, pause: int) -> Iterator[int]:
    """Runs of inputs that are asked for once."""
    popular = _zipf(exponent)
    once = count(UNIVERSE)
    while True:
        yield from islice(popular, pause)
        yield from islice(once, scan)


def _loop(length: int) -> Iterator[int]:
    while True:
        yield from range(length)


def _in_turns(one: Iterator[int], other: Iterator[int]) -> Iterator[int]:
    """Either by chance; the other's inputs are not the one's."""
    generator = random.Random(_SEED)
    while True:
        yield next(one) if generator.random() < 0.5 else UNIVERSE + next(other)


def _short_lived(live: int) -> Iterator[int]:
    """So many inputs at a time, each asked for three times on average and then never again."""
    generator = random.Random(_SEED)
    fresh = count()
    inputs = list(islice(fresh, live))
    while True:
        place = generator.randrange(live)
        yield inputs[place]
        if generator.random() < 1 / 3:
            inputs[place] = next(fresh)


def _with_feedback(exponent: float, lag: int) -> Iterator[int]:
    """Half of the inputs are new; feedback on most predictions asks for them once more, about `lag` requests later."""
    generator = random.Random(_SEED)
    popular = _zipf(exponent)
    fresh = count(UNIVERSE)
    due: list[tuple[float, int]] = []
    for turn in count():
        if due and due[0][0] <= turn:
            yield heapq.heappop(due)[1]
            continue
        number = next(popular) if generator.random() < 0.5 else next(fresh)
        if generator.random() < 0.7:
            heapq.heappush(due, (turn + generator.expovariate(1 / lag), number))
        yield number

"""The oracle is right where everything can be tried, and no policy is better."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

import numpy as np
import pytest

from simulation.oracle import fluid_bound, most_in_time


def _tried(arrivals_s: Sequence[float], objective_s: float, took_s: Callable[[int], float]) -> int:
    """The most of a few queries that can be answered in time, in any batches and in any order."""

    def from_here(free_s: float, left: tuple[int, ...]) -> int:
        most = 0
        for size in range(1, len(left) + 1):
            for batch in itertools.combinations(left, size):
                done_s = max(free_s, *(arrivals_s[query] for query in batch)) + took_s(size)
                if all(done_s <= arrivals_s[query] + objective_s for query in batch):
                    rest = tuple(query for query in left if query not in batch)
                    most = max(most, size + from_here(done_s, rest))
        return most

    return from_here(0.0, tuple(range(len(arrivals_s))))


@pytest.mark.parametrize("seed", range(60))
def test_no_schedule_of_one_replica_answers_more_and_one_answers_as_many(seed: int) -> None:
    random = Random(seed)
    arrivals_s = sorted(random.uniform(0.0, 6.0) for _ in range(random.randint(1, 6)))
    fixed_s, per_input_s, objective_s = random.uniform(0.0, 1.5), random.uniform(0.05, 0.8), random.uniform(1.0, 4.0)
    tried = _tried(arrivals_s, objective_s, lambda size: fixed_s + per_input_s * size)
    found = most_in_time(
        np.array(arrivals_s), objective_s, lambda begin_s, sizes: begin_s + fixed_s + per_input_s * sizes, largest=6
    )
    assert found == tried
    served = fluid_bound(
        np.array(arrivals_s),
        np.array(arrivals_s) + objective_s,
        lambda until_s: until_s * 6 / (fixed_s + 6 * per_input_s),
    )
    assert served >= tried


def test_what_comes_at_a_steady_pace_is_answered_up_to_the_capacity_and_not_beyond() -> None:
    arrivals_s = np.arange(0.0, 10.0, 0.01)
    for capacity, in_time in ((200.0, 1_000), (50.0, 510)):
        bound = fluid_bound(arrivals_s, arrivals_s + 0.2, partial(np.multiply, capacity))
        assert bound == pytest.approx(in_time, rel=0.01)

"""What could have been served in time by who knew every arrival before: what a policy is measured against.

`most_in_time` is exact, for one replica and one latency objective. `fluid_bound` is for everything else: nobody can do
better, and perhaps nobody can do as well.
"""

import heapq
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# When batches are done that begin at so many times, with so many inputs each: never sooner for who begins later.
Done = Callable[[Floats, NDArray[np.int64]], Floats]


def most_in_time(arrivals_s: Floats, objective_s: float, done_s: Done, largest: int) -> int:
    """The most queries that one replica can answer in time.

    Some best schedule serves in the order of arrival, and neighbours in each batch: who is left out between two that
    are served can take the place of the earlier one. And nothing is gained by beginning later than one can. So it is
    enough to know, by how many of the first queries were lost, how soon the replica can be free again.

    Args:
        arrivals_s: when the queries come, in order.
        objective_s: how long after that they must be answered.
        done_s: how long batches take.
        largest: the largest batch that can be done within the objective.
    """
    count = len(arrivals_s)
    sizes = np.arange(1, largest + 1)
    # By queries decided on, those that can still be reached alone, and by queries lost: when the replica is free.
    free_s = np.full((largest + 1, count + 2), math.inf)
    free_s[0, 0] = -math.inf
    least = 0
    for first in range(count):
        row = free_s[first % (largest + 1)]
        # Who has lost so many that the replica is free when the next query comes gains nothing by losing more.
        least += int(np.argmax(row[least:] < math.inf))
        most = least + 1
        while most <= first and row[most - 1] > arrivals_s[first]:
            most += 1
        after = free_s[(first + 1) % (largest + 1)]
        np.minimum(after[least + 1 : most + 1], row[least:most], out=after[least + 1 : most + 1])
        reach = min(largest, count - first)
        begin_s = np.maximum(row[None, least:most], arrivals_s[first : first + reach, None])
        end_s = done_s(begin_s, sizes[:reach, None])
        end_s[end_s > arrivals_s[first] + objective_s] = math.inf
        rows = (first + sizes[:reach]) % (largest + 1)
        free_s[rows, least:most] = np.minimum(free_s[rows, least:most], end_s)
        row[:] = math.inf
    return count - int(np.argmax(free_s[count % (largest + 1)] < math.inf))


def fluid_bound(arrivals_s: Floats, due_s: Floats, served: Callable[[Floats], Floats]) -> int:
    """More queries than that cannot be answered in time.

    It lets replicas answer as many a second as in their largest batches, each query as soon as it comes, and work on
    any of them at any time.

    Args:
        arrivals_s: when each query comes.
        due_s: by when it must be answered.
        served: how many can be served at most from the beginning until each of some times.
    """
    # A time to be served in is widened to whole queries. Of those that can be served next, the one that must be is
    # (Glover, 1967).
    firsts, ends = np.floor(served(arrivals_s)).tolist(), np.ceil(served(due_s)).tolist()
    coming = sorted(zip(firsts, ends, strict=True))
    waiting: list[float] = []
    place, number, in_time = 0, 0.0, 0
    while place < len(coming) or waiting:
        if not waiting:
            number = max(number, coming[place][0])
        while place < len(coming) and coming[place][0] <= number:
            heapq.heappush(waiting, coming[place][1])
            place += 1
        if heapq.heappop(waiting) > number:
            in_time += 1
            number += 1
    return in_time

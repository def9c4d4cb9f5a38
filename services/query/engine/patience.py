"""For how long a replica may keep a batch: first it is overdue, then it is taken for frozen, until it answers.

A stream and a lease outlive what hangs: a model in an endless loop, a process that is stopped, a machine that swaps.
So a replica is judged by its answers, and by what is a long time for those who wait and for itself:

- Overdue is a replica that has kept a batch for half of the tightest objective in it, and for three times what its
  slowest batches took. Then there may still be time to try the queries elsewhere. Before its first answer no replica is
  overdue before it is frozen.
- Frozen is one that has kept it for the longest objective in it and a second, or for three times what its slowest
  batches took, if that is longer: whoever is always slower than every objective is slow, not frozen.

Half and three times leave a healthy replica its stragglers, and a verdict that was wrong costs little, as a late answer
counts for whoever still waits.
"""

from typing import Protocol

_SHARE = 0.5
_FACTOR = 3.0
_BEYOND_OBJECTIVE_S = 1.0
# On a busy machine anybody may be kept from its processor for some tens of milliseconds.
_SHORTEST_S = 0.05
# The memory is some hundred batches long, so that one straggler in a hundred is not forgotten before the next.
_FADE = 0.998
# A freeze that ends does not teach that batches last so long; who really has become slower is followed in steps.
_LARGEST_STEP = 3.0
_LEAST_S = 1e-6


class Kept(Protocol):
    """A batch, as far as it matters for how long it is kept."""

    @property
    def size(self) -> int:
        """How many tasks it has."""

    @property
    def tightest_s(self) -> float:
        """The tightest of the latency objectives for which its tasks wait."""

    @property
    def longest_s(self) -> float:
        """The longest of them."""


class Patience:
    """What is known of the slowest batches of one replica."""

    __slots__ = ("_size", "_slowest_s")

    def __init__(self) -> None:
        self._slowest_s = 0.0
        self._size = 1

    @property
    def is_known(self) -> bool:
        """Whether anything was observed yet."""
        return self._slowest_s > 0.0

    def observe(self, batch: Kept, busy_s: float) -> None:
        """Learns how long the replica was busy with a batch."""
        most_s = _LARGEST_STEP * self._slowest_s if self.is_known else self.frozen_after_s(batch)
        self._slowest_s *= _FADE
        if busy_s > self._slowest_s:
            self._slowest_s = max(min(busy_s, most_s), _LEAST_S)
            self._size = batch.size

    def overdue_after_s(self, batch: Kept) -> float:
        """For how long a batch may be computed before others are to be tried; not longer than until it is frozen."""
        frozen_after_s = self.frozen_after_s(batch)
        if not self.is_known:
            return frozen_after_s
        return min(frozen_after_s, max(_SHORTEST_S, _SHARE * batch.tightest_s, self._long_s(batch)))

    def frozen_after_s(self, batch: Kept) -> float:
        """For how long a batch may be computed before nobody is to wait for the replica."""
        return max(batch.longest_s + _BEYOND_OBJECTIVE_S, _FACTOR * self._slowest_s)

    def _long_s(self, batch: Kept) -> float:
        """What would be a long time, though a batch that is larger than the slowest was takes longer."""
        return _FACTOR * self._slowest_s * max(1.0, batch.size / self._size)

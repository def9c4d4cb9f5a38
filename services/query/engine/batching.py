"""How large the next batch of a replica may be.

A policy belongs to one replica. Before each batch the engine asks for its `limit`, and sends as many waiting tasks as
that, without waiting for more; after each batch it tells the policy what was observed. Policies are pure: they are
given durations and keep only numbers.
"""

from typing import Protocol

from services.common.names import ADAPTIVE_BATCH_SIZE


class BatchingPolicy(Protocol):
    """Chooses the largest batch for one replica.

    Attributes:
        limit: the largest next batch, at least 1.
    """

    limit: int

    def observe(self, size: int, duration_s: float, slo_s: float) -> None:
        """Learns from one answered batch.

        Args:
            size: tasks in the batch.
            duration_s: how long the replica was busy with it, transfer included.
            slo_s: the tightest latency objective among its queries.
        """


class FixedSize:
    """A hard maximum; never adapts."""

    __slots__ = ("limit",)

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def observe(self, size: int, duration_s: float, slo_s: float) -> None:
        """Nothing to learn."""


class Aimd:
    """Additive increase, multiplicative decrease, after Crankshaw et al., "Clipper", NSDI 2017, section 4.3.

    A full batch that took less than its share of the latency objective raises the limit by a constant; one that took
    longer than the share lowers it by a tenth. The share is a third, because a query may find one batch computing and
    one full batch sent behind it before its own.
    """

    __slots__ = ("limit",)

    _STEP = 2
    _BACK_OFF = 0.9
    _SHARE = 1 / 3
    _LARGEST = 4096

    def __init__(self) -> None:
        self.limit = 1

    def observe(self, size: int, duration_s: float, slo_s: float) -> None:
        """Raises or lowers the limit."""
        if duration_s > slo_s * self._SHARE:
            self.limit = max(1, int(min(self.limit, size) * self._BACK_OFF))
        elif size >= self.limit:
            self.limit = min(self._LARGEST, self.limit + self._STEP)


def policy_for(batch_size: int) -> BatchingPolicy:
    """The policy that a model version's registered batch size asks for."""
    return Aimd() if batch_size == ADAPTIVE_BATCH_SIZE else FixedSize(batch_size)

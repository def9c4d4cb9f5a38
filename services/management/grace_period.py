"""The grace period after an outage: for one time to live nobody's lease is swept.

While management or the store was away, or this process stood still, the holders could not renew: that their leases
lapsed says nothing about them. It begins with the first look at the leases after that.
"""


class GracePeriod:
    """Says whether the leases are to be spared.

    Args:
        time_to_live_s: how long a lease runs without a renewal, and the grace period lasts.
        interval_s: the time between two looks at the leases; twice as long a gap counts as an outage.
    """

    def __init__(self, time_to_live_s: float, interval_s: float) -> None:
        self._time_to_live_s = time_to_live_s
        self._longest_gap_s = 2 * interval_s
        self._last_look_s: float | None = None
        self._ends_s = 0.0

    def outage(self) -> None:
        """Notes that the leases could not be looked at."""
        self._last_look_s = None

    def holds(self, now_s: float) -> bool:
        """Whether it is on at this look at the leases, at `now_s` of a monotonic clock."""
        if self._last_look_s is None or now_s - self._last_look_s > self._longest_gap_s:
            self._ends_s = now_s + self._time_to_live_s
        self._last_look_s = now_s
        return now_s < self._ends_s

"""Measurements that the host of a virtual machine has disturbed are made again.

A host that has promised more processors than it has takes one away for seconds on end, and the kernel counts for how
long ("steal" in /proc/stat). That count alone decides whether a measurement is made again, never what was measured. On
a machine of its own nothing is stolen, and nothing is made again.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

_MOST_STOLEN = 0.03
_ATTEMPTS = 3
# Where the times of all processors together stand in the first line of /proc/stat, and which of them was stolen. What
# guests have used is counted among the others, too.
_TIMES = slice(1, 9)
_STOLEN = 7

_Measured = TypeVar("_Measured")


class _Times(NamedTuple):
    """Processor time since the start of the machine, in ticks."""

    stolen: int
    total: int


class Disturbances:
    """Has measurements made again, and counts that.

    Attributes:
        repeated: how many measurements were thrown away.
        remaining: how many are the least disturbed of all their attempts.
    """

    def __init__(self) -> None:
        self.repeated = 0
        self.remaining = 0

    def __str__(self) -> str:
        return (
            f"{self.repeated} measurements made again and {self.remaining} the least disturbed of {_ATTEMPTS}, "
            f"as the host took more than {_MOST_STOLEN:.0%} of the processor time away"
        )

    def avoid(self, measure: Callable[[], _Measured]) -> _Measured:
        """What `measure` finds undisturbed, or at least in its least disturbed attempt."""
        least, found = 1.0, None
        for _ in range(_ATTEMPTS):
            before = _times()
            measured = measure()
            after = _times()
            stolen = (after.stolen - before.stolen) / max(1, after.total - before.total)
            if stolen <= _MOST_STOLEN:
                return measured
            self.repeated += 1
            if found is None or stolen < least:
                least, found = stolen, measured
        self.repeated -= 1
        self.remaining += 1
        assert found is not None
        return found


def _times() -> _Times:
    ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[_TIMES]]
    return _Times(ticks[_STOLEN], sum(ticks))

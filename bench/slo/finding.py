"""What every part of the benchmark comes to: a section of the report, and checks."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Check:
    """A figure that has a floor or a ceiling.

    Attributes:
        what: says what the figure is.
        value: the figure.
        least, most: what it must be at least, or may be at most.
    """

    what: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def is_missed(self) -> bool:
        """Whether the figure is on the wrong side."""
        return (self.least is not None and self.value < self.least) or (
            self.most is not None and self.value > self.most
        )

    @property
    def bound(self) -> str:
        """The floor or the ceiling in words."""
        return f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"


class Finding(Protocol):
    """What one part found."""

    def checks(self) -> list[Check]:
        """Its floors and ceilings."""

    def section(self) -> str:
        """Its section of the report, in Markdown."""


def ms(seconds: float) -> str:
    """A time in milliseconds, to be read."""
    return f"{seconds * 1e3:.3g}" if seconds < 1 else f"{seconds * 1e3:,.0f}"


def per_s(rate: float) -> str:
    """A rate, to be read."""
    return f"{rate:,.0f}"

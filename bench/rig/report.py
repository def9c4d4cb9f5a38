"""The report: findings as sections of Markdown, with their bounds, in the pages where they belong."""

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.rig.errors import BenchmarkError

_Row = TypeVar("_Row")
_FIGURES = "figures"
_END = "<!-- end -->"


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

    def __str__(self) -> str:
        return f"{self.what}: {self.value:.3g}, {self.bound}"


class Finding:
    """What a study found: a dataclass of figures."""

    def checks(self) -> Sequence[Check]:
        """Its floors and ceilings."""
        return ()

    def words(self) -> Mapping[str, object]:
        """What its section's template is filled with."""
        return {}

    def draw(self, directory: Path) -> None:
        """Writes the figures that its section embeds."""


@dataclass(frozen=True, slots=True)
class Section:
    """What a study found, and how.

    Attributes:
        name: the study's.
        template: the file of the section's words.
        finding: what it found.
        circumstances: where and how it was measured, in a line.
    """

    name: str
    template: Path
    finding: Finding
    circumstances: str

    @property
    def missed(self) -> list[Check]:
        """What is on the wrong side of its floor or ceiling."""
        return [check for check in self.finding.checks() if check.is_missed]

    def __str__(self) -> str:
        text = self.template.read_text().format_map(self.finding.words())
        return "\n".join((text, *self._bounds(), f"*{self.circumstances}.*", ""))

    def write_into(self, page: Path) -> None:
        """Replaces the section in its page, between its marks, and its figures beside it.

        Raises:
            BenchmarkError: the page has no place for it.
        """
        before, mark, rest = page.read_text().partition(f"<!-- python -m bench {self.name} -->\n")
        _, end, after = rest.partition(_END)
        if not (mark and end):
            raise BenchmarkError(f"{page} has no lines {mark or self.name!r} and {_END!r} to write between")
        page.write_text(f"{before}{mark}{self}{end}{after}")
        directory = page.parent / _FIGURES
        directory.mkdir(exist_ok=True)
        self.finding.draw(directory)

    def as_json(self) -> str:
        """Every figure."""
        figures = dataclasses.asdict(self.finding)  # type: ignore[call-overload]
        return json.dumps({"circumstances": self.circumstances, **figures}, indent=1, default=_left_out)

    def _bounds(self) -> list[str]:
        columns: dict[str, Callable[[Check], str]] = {
            "bound": lambda check: check.what,
            "measured": lambda check: f"{check.value:.3g}",
            "at least, at most": lambda check: check.bound,
            "": lambda check: "missed" if check.is_missed else "",
        }
        checks = self.finding.checks()
        return [table(checks, columns), ""] if checks else []


def table(rows: Iterable[_Row], columns: Mapping[str, Callable[[_Row], str]]) -> str:
    """A table in Markdown whose first column is words and whose others are figures.

    Args:
        rows: what is told of, one a row.
        columns: how a cell is made of a row, by the column's head.
    """
    head = ["---", *["---:"] * (len(columns) - 1)]
    cells = ([cell(row) for cell in columns.values()] for row in rows)
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, head, *cells))


def ms(seconds: float) -> str:
    """A time in milliseconds, to be read."""
    return f"{seconds * 1e3:.3g}" if seconds < 1 else f"{seconds * 1e3:,.0f}"


def per_s(rate: float) -> str:
    """A rate, to be read."""
    return f"{rate:,.0f}"


def reasons(counts: Mapping[str, int], asked: int) -> str:
    """Which parts of the queries got the default output, by reason."""
    return ", ".join(
        f"{re.sub('^DEFAULT_REASON_', '', reason).lower()} {count / asked:.0%}"
        for reason, count in sorted(counts.items())
    )


def _left_out(value: object) -> str:
    """Stands for what is no figure: models and their questions."""
    return type(value).__name__

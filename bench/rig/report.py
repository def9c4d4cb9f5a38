"""The report: findings as sections of Markdown, with their bounds, in the pages where they belong."""

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.rig.errors import BenchmarkError
from bench.rig.template import fill

_FIGURES = "figures"
_END = "<!-- end -->"
_BOUNDS = """
| figure | measured | bound |  |
| --- | ---: | ---: | ---: |
{*check: checks} | {check.what} | {check.value:.3g} | {check.bound} | {check.verdict} |
"""


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

    @property
    def verdict(self) -> str:
        """Whether it is missed, in a word."""
        return "missed" if self.is_missed else ""

    def __str__(self) -> str:
        return f"{self.what}: {self.value:.3g}, {self.bound}"


class Finding:
    """What a study found: a dataclass of figures, which its section's template is filled with."""

    def checks(self) -> Sequence[Check]:
        """Its floors and ceilings."""
        return ()

    def draw(self, directory: Path) -> None:
        """Writes the figures that its section embeds."""


class Names(Mapping[str, object]):
    """What a template can name: the attributes of a finding, and as `name` the constant `_NAME` of its module."""

    def __init__(self, finding: Finding) -> None:
        self._finding = finding
        self._constants = vars(sys.modules[type(finding).__module__])

    def __getitem__(self, name: str) -> object:
        if hasattr(self._finding, name):
            return getattr(self._finding, name)
        return self._constants[f"_{name.upper()}"]

    def __iter__(self) -> Iterator[str]:
        return iter((*dir(self._finding), *(name.removeprefix("_").lower() for name in self._constants)))

    def __len__(self) -> int:
        return sum(1 for _ in self)


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
        text = fill(self.template.read_text(), Names(self.finding)).rstrip()
        checks = self.finding.checks()
        bounds = [fill(_BOUNDS, {"checks": checks})] if checks else []
        return "\n".join((text, *bounds, "", f"*{self.circumstances}.*", ""))

    def write_into(self, page: Path) -> None:
        """Replaces the section in its page, between its marks, and its figures beside it.

        Raises:
            BenchmarkError: the page has no place for it.
        """
        write_between(page, f"python -m bench {self.name}", str(self))
        directory = page.parent / _FIGURES
        directory.mkdir(exist_ok=True)
        self.finding.draw(directory)

    def as_json(self) -> str:
        figures = dataclasses.asdict(self.finding)  # type: ignore[call-overload]
        return json.dumps({"circumstances": self.circumstances, **figures}, indent=1, default=_left_out)


def write_between(page: Path, writer: str, text: str) -> None:
    """Replaces what stands in a page between the line `<!-- WRITER -->` and the next `<!-- end -->`.

    Raises:
        BenchmarkError: the page has no such lines.
    """
    mark = f"<!-- {writer} -->\n"
    before, found, rest = page.read_text().partition(mark)
    _, end, after = rest.partition(_END)
    if not (found and end):
        raise BenchmarkError(f"{page} has no lines {mark.strip()!r} and {_END!r} to write between")
    page.write_text(f"{before}{mark}{text}{end}{after}")


def _left_out(value: object) -> str:
    """Stands for what is no figure: models and their questions."""
    return type(value).__name__

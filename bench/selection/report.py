"""The report: the guide to the selection layer and every part's section, for docs/selection.md; figures as JSON."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.selection.guide import GUIDE
from bench.slo.finding import Check, Finding
from bench.tables import table


class DrawnFinding(Finding, Protocol):
    """What one part found, and its figure."""

    def draw(self, directory: Path) -> None:
        """Writes the figure that its section embeds."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that a run found.

    Attributes:
        machine: what it ran on, by what each is.
        minutes: how long it took.
        findings: one a part.
    """

    machine: Mapping[str, str]
    minutes: float
    findings: Sequence[DrawnFinding]

    def missed(self) -> list[str]:
        """What is on the wrong side of its floor or ceiling, in words."""
        return [f"{check.what}: {check.value:.3g}, {check.bound}" for check in self._checks() if check.is_missed]

    def as_json(self) -> str:
        """Every figure."""
        found = {type(each).__name__: dataclasses.asdict(each) for each in self.findings}  # type: ignore[call-overload]
        return json.dumps({"machine": self.machine, "minutes": self.minutes, **found})

    def as_markdown(self) -> str:
        """The document."""
        return GUIDE + _MEASURED.format(
            machine="\n".join(f"- {name}: {value}" for name, value in self.machine.items()),
            minutes=f"{self.minutes:.0f}",
            checks=table(
                ("figure", "measured", "bound", ""),
                [
                    (check.what, f"{check.value:.3g}", check.bound, "missed" if check.is_missed else "")
                    for check in self._checks()
                ],
            ),
            sections="\n".join(each.section() for each in self.findings),
        )

    def draw(self, directory: Path) -> None:
        """Writes all figures."""
        directory.mkdir(exist_ok=True)
        for each in self.findings:
            each.draw(directory)

    def _checks(self) -> list[Check]:
        return [check for each in self.findings for check in each.checks()]


_MEASURED = """
# What it brings, measured

The paper's figures about several models, with real classifiers in real containers as ProcessContainerManager runs them,
asked and told by native gRPC; one part, which says so, is simulated. The figures are of one machine on one day.

{machine}

## The bounds

{checks}

{sections}
## How to repeat it

`make bench-selection` measures, prints this page, and fails when a bound is missed; it took {minutes} minutes and wants
a machine that does nothing else. `python -m bench.selection --write docs/selection.md` writes the page and its figures.
Raw figures: `build/bench-selection.json`. Options: `python -m bench.selection --help`.

What a container answered is held against what its model says in the benchmark's own process; one difference, or
feedback that is not learned from, makes the run worthless.
"""

"""The report: every part's section as Markdown for docs/slo.md, and all figures raw as JSON."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.slo.finding import Check, Finding
from bench.tables import table


@dataclass(frozen=True, slots=True)
class Report:
    """All that a run found.

    Attributes:
        machine: what it ran on, by what each is.
        seconds: how long each measurement took.
        findings: one a part.
    """

    machine: Mapping[str, str]
    seconds: float
    findings: Sequence[Finding]

    def missed(self) -> list[str]:
        """What is on the wrong side of its floor or ceiling, in words."""
        return [f"{check.what}: {check.value:.3g}, {check.bound}" for check in self._checks() if check.is_missed]

    def as_json(self) -> str:
        """Every figure."""
        found = {type(each).__name__: dataclasses.asdict(each) for each in self.findings}  # type: ignore[call-overload]
        return json.dumps({"machine": self.machine, "seconds": self.seconds, **found}, indent=2, default=_left_out)

    def as_markdown(self) -> str:
        """The document."""
        return _DOCUMENT.format(
            machine="\n".join(f"- {name}: {value}" for name, value in self.machine.items()),
            seconds=f"{self.seconds:g}",
            checks=table(
                ("figure", "measured", "bound", ""),
                [
                    (check.what, f"{check.value:.3g}", check.bound, "missed" if check.is_missed else "")
                    for check in self._checks()
                ],
            ),
            sections="\n".join(each.section() for each in self.findings),
        )

    def _checks(self) -> list[Check]:
        return [check for each in self.findings for check in each.checks()]


def _left_out(value: object) -> str:
    """Stands for what is no figure: models and their questions."""
    return type(value).__name__


_DOCUMENT = """# What a latency objective brings

Written by `python -m bench.slo --write docs/slo.md`; do not edit. The figures are of one machine on one day. What
carries over to another machine are the ratios.

{machine}

Generator, query service and model containers share the cores; a container is held to one thread. All is as
ProcessContainerManager runs it, with nothing set but the objective and, where a table says so, the batching policy.
Each measurement lasts {seconds} s after a warm-up. The generator packs its messages beforehand and sends them down
one PredictStream straight to the query service; it reads every answer, and one that is wrong, missing, or counted
otherwise by the query service makes the run worthless.

## The bounds

{checks}

{sections}
## How to repeat it

`make bench-slo` measures, prints this page, and fails when a bound is missed; it takes about ten minutes and wants a
machine that does nothing else. Raw figures: `build/bench-slo.json`. Options: `python -m bench.slo --help`.
"""

"""The findings as text for a person at a shell."""

from collections import Counter

from clipper_admin.conformance.kit import CHECKS, Finding, Verdict

_VERDICT_WIDTH = max(map(len, Verdict))
_NAME_WIDTH = max(len(check.name) for check in CHECKS)


class Report:
    """Takes findings as they come."""

    def __init__(self) -> None:
        self._verdicts: Counter[Verdict] = Counter()

    @property
    def is_broken(self) -> bool:
        """Whether a clause of the contract is broken, as far as was looked at."""
        return self._verdicts[Verdict.BROKEN] > 0

    def line(self, finding: Finding) -> str:
        """One finding."""
        self._verdicts[finding.verdict] += 1
        return f"{finding.verdict:{_VERDICT_WIDTH}}  {finding.check.name:{_NAME_WIDTH}}  {finding.sentence}"

    def summary(self) -> str:
        """All of them together."""
        return ", ".join(f"{self._verdicts[verdict]} {verdict.lower()}" for verdict in Verdict)

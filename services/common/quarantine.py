"""The quarantine: what of the configuration a service leaves out because it cannot read or use it.

Each case is told once, however often it is met: when it comes, and when it is over.
"""

import logging
from collections import Counter
from collections.abc import Mapping

_LOG = logging.getLogger(__name__)

Case = tuple[str, str]


class Quarantine:
    """The cases, for one thread to report and any thread to look at.

    Attributes:
        cases: why each is left out, by its kind and key.
        unreadable_changes: how many entries of the change stream could not be read; what they changed was.
    """

    def __init__(self) -> None:
        self.cases: Mapping[Case, str] = {}
        self.unreadable_changes = 0
        self._last_unreadable = 0

    def hold(self, cases: Mapping[Case, str]) -> None:
        """Takes all that is to be left out from now on."""
        known, self.cases = self.cases, dict(cases)
        for (kind, key), why in cases.items():
            if known.get((kind, key)) != why:
                _LOG.error(
                    "quarantined: it is left out until it is registered again or deleted",
                    extra={"kind": str(kind), "key": key, "cause": why},
                )
        for kind, key in known.keys() - cases.keys():
            _LOG.info("no longer quarantined", extra={"kind": str(kind), "key": key})

    def skip_change(self, revision: int, why: str) -> None:
        """Notes that the change which makes a revision cannot be read."""
        if revision != self._last_unreadable:
            self._last_unreadable = revision
            self.unreadable_changes += 1
            _LOG.error("a change cannot be read; taking a new snapshot", extra={"revision": revision, "cause": why})

    def by_kind(self) -> dict[str, int]:
        """How many cases there are of each kind."""
        return dict(Counter(str(kind) for kind, _key in self.cases))

"""What is asked of a model version: at what rate, and how soon those who ask want their answers.

An application that is registered and asks for nothing is no part of it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from services.common.records import Application

_MICROS = 1e-6
# The memory of the rate fades over this long. Shorter looks would see chance more than a rate.
_MEMORY_S = 0.5
_LOOK_S = 0.02
# Whoever has not asked for so long is no longer expected back.
_EXPECTED_S = 10.0


class Demand:
    """Of one version.

    Attributes:
        count: inputs so far, counted by whoever takes them.
        per_s: inputs a second; 0 before that is known.
        objectives_s: the latency objectives of those who ask, the tightest first.
        surveys: how often the two before were looked at anew.
    """

    __slots__ = (
        "_asked_s",
        "_counted",
        "_has_news",
        "_measured_s",
        "_weight",
        "count",
        "objectives_s",
        "per_s",
        "surveys",
    )

    def __init__(self) -> None:
        self.count = 0
        self.per_s = 0.0
        self.objectives_s: Sequence[float] = ()
        self.surveys = 0
        self._counted = 0
        self._measured_s = -math.inf
        # Of what is remembered of the rate; less than 1 at first, when little is.
        self._weight = 0.0
        # By objective in microseconds: when somebody who has it was seen last.
        self._asked_s: dict[int, float] = {}
        # Whether somebody asks whose objective is new.
        self._has_news = False

    def seen(self, application: Application, now_s: float) -> None:
        """An application asks, of which nothing waited."""
        slo_micros = application.latency_slo_micros
        self._has_news = self._has_news or slo_micros not in self._asked_s
        self._asked_s[slo_micros] = now_s

    def survey(self, waiting: Iterable[Application], now_s: float) -> None:
        """Looks at it anew, when it is time to; some inputs of the applications `waiting` wait."""
        since_s = now_s - self._measured_s
        if since_s >= _LOOK_S:
            self._measure(since_s, now_s)
        elif not self._has_news:
            return
        self._has_news = False
        self.surveys += 1
        for application in waiting:
            self._asked_s[application.latency_slo_micros] = now_s
        self._asked_s = {slo: asked_s for slo, asked_s in self._asked_s.items() if asked_s >= now_s - _EXPECTED_S}
        self.objectives_s = [slo_micros * _MICROS for slo_micros in sorted(self._asked_s)]

    def _measure(self, since_s: float, now_s: float) -> None:
        if since_s < math.inf:
            news = 1.0 - math.exp(-since_s / _MEMORY_S)
            self._weight += news * (1.0 - self._weight)
            self.per_s += news / self._weight * ((self.count - self._counted) / since_s - self.per_s)
        self._counted, self._measured_s = self.count, now_s

    @property
    def widest_s(self) -> float:
        """The objective of those who have the most time; infinity when nobody asks."""
        return self.objectives_s[-1] if self.objectives_s else math.inf

    def tightest_s(self, least_s: float) -> float:
        """The tightest objective that can be met by who needs `least_s` for an input; the widest when none can.

        Those who ask for the impossible get their default output, and are no reason to serve others worse.
        """
        return next((slo_s for slo_s in self.objectives_s if slo_s > least_s), self.widest_s)

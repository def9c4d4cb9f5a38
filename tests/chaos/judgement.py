"""What went as it should, what did not, and when the machine is to blame."""

from tests.chaos.traffic import DEADLINE_S, SLO_S, Deadline, Feedback, Outcome
from tests.fixtures.stalls import StallMeter

WAY_S = 0.05
"""What the way to the client and back may take."""
_FOR_WANT_OF_TIME = "within the specified latency SLO"


class Judge:
    """Judges outcomes by a meter that has watched while they came about."""

    def __init__(self, meter: StallMeter) -> None:
        self._meter = meter

    def is_late(self, outcome: Outcome, allowed_s: float) -> bool:
        """Whether it took longer than allowed, and somebody else than the machine is to blame."""
        over_s = outcome.answer.latency_s - allowed_s
        return over_s > 0 and self._stalled_s(outcome) < over_s

    def is_trouble(self, outcome: Outcome) -> bool:
        """Whether it did not go as when nothing happens."""
        if self.is_starved(outcome):
            return False
        is_late = is_timed(outcome) and self.is_late(outcome, SLO_S + WAY_S)
        return bool(outcome.answer.error) or outcome.answer.is_default or is_late

    def is_starved(self, outcome: Outcome) -> bool:
        """Whether it is late, or was given up for want of time, because of the machine."""
        if outcome.lane == Deadline.name and outcome.answer.error.startswith("DEADLINE_EXCEEDED"):
            return self._stalled_s(outcome) > DEADLINE_S / 2
        if outcome.answer.is_default and _FOR_WANT_OF_TIME in outcome.answer.explanation:
            return self._stalled_s(outcome) > SLO_S / 2
        over_s = outcome.answer.latency_s - SLO_S - WAY_S
        return is_timed(outcome) and 0 < over_s <= self._stalled_s(outcome)

    def _stalled_s(self, outcome: Outcome) -> float:
        return self._meter.waited_s(outcome.answer.sent_s, outcome.answer.received_s)


def is_timed(outcome: Outcome) -> bool:
    """Whether it is an answer that an objective holds for."""
    return not outcome.answer.error and outcome.lane != Feedback.name

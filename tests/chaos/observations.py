"""What a fault did to the traffic: one row of the table."""

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.tables import table
from tests.chaos.faults import Fault
from tests.chaos.scenes import Scene, resident_bytes
from tests.chaos.traffic import DEADLINE_S, PATIENCE_S, SLO_S, Deadline, Feedback, Outcome
from tests.fixtures.clients import Answer
from tests.fixtures.stalls import StallMeter
from tests.fixtures.waiting import wait_until

_BEFORE_S = 0.5
_CALM_S = 1.0
_WAY_S = 0.05
_MOST_GROWTH_BYTES = 64 << 20
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen.

    Attributes:
        fault: what happened.
        requests: how many were made, from half a second before it until one second after all were answered in time.
        refused: those that failed, by lane.
        wrong: those whose answer is not so, or came twice.
        lost: those that had no end within ten seconds.
        defaults: default outputs, by reason.
        longest_s: the latest answer, from when it was to be asked, feedback apart.
        late: answers later than the fault allows, not counting what a busy machine made them wait.
        past_deadline: calls that ended after the deadline that they had set, likewise.
        over_s: how long after the fault a request failed, had its default or was late, for the last time.
        resident_bytes: what the cluster's processes take in memory afterwards.
        growth_bytes: by how much the one that lived through it and has grown most has grown.
    """

    fault: Fault
    requests: int
    refused: Mapping[str, int]
    wrong: int
    lost: int
    defaults: Mapping[str, int]
    longest_s: float
    late: int
    past_deadline: int
    over_s: float
    resident_bytes: int
    growth_bytes: int

    def misses(self) -> list[str]:
        """The bounds that were missed, in words."""
        fault = self.fault
        bounds = {
            f"{self.wrong} answers are wrong": self.wrong == 0,
            f"{self.lost} requests were lost": self.lost == 0,
            f"requests were refused on {dict(self.refused)}": self.refused.keys() <= fault.refused,
            f"there were defaults: {dict(self.defaults)}": fault.has_defaults or not self.defaults,
            f"{self.late} answers came later than {fault.longest_s:.2f} s": self.late == 0,
            f"{self.past_deadline} calls ended after their own deadline": self.past_deadline == 0,
            f"it took {self.over_s:.1f} s until all was as before": self.over_s <= fault.over_within_s,
            f"a process has grown by {self.growth_bytes // _MIB} MiB": self.growth_bytes < _MOST_GROWTH_BYTES,
        }
        return [miss for miss, holds in bounds.items() if not holds]


def observe(scene: Scene, fault: Fault) -> Observation:
    """Has a fault happen and waits until its traces are gone."""
    traffic, memory = scene.traffic, _memory(scene)
    wait_until(lambda: not _troubles(traffic.between(time.monotonic() - _CALM_S)), within_s=30)
    with StallMeter(scene.connection) as meter:
        struck_s = time.monotonic()
        fault.strike(scene)
        mended_s = time.monotonic()
        wait_until(lambda: _is_calm(scene, mended_s), within_s=30)
        end_s = time.monotonic() - _CALM_S / 2
        # Who has not been answered by now is lost.
        wait_until(lambda: traffic.unanswered(end_s) == 0 or time.monotonic() > end_s + PATIENCE_S + _CALM_S, 20)
    outcomes = traffic.between(struck_s - _BEFORE_S, end_s)
    troubles = [outcome.answer.sent_s for outcome in _troubles(outcomes)]
    after = _memory(scene)
    return Observation(
        fault=fault,
        requests=len(outcomes),
        refused=Counter(outcome.lane for outcome in outcomes if outcome.answer.error),
        wrong=sum(outcome.is_wrong for outcome in outcomes) + len(traffic.ended_twice),
        lost=traffic.unanswered(end_s),
        defaults=Counter(outcome.answer.explanation for outcome in outcomes if outcome.answer.is_default),
        longest_s=max(outcome.answer.latency_s for outcome in _timed(outcomes)),
        late=len(meter.late((each.answer for each in _timed(outcomes)), fault.longest_s)),
        past_deadline=len(meter.late(_with_deadline(outcomes), DEADLINE_S + _WAY_S)),
        over_s=max((sent_s - struck_s for sent_s in troubles), default=0.0),
        resident_bytes=sum(after.values()),
        growth_bytes=max(after[pid] - memory[pid] for pid in after.keys() & memory.keys()) if memory else 0,
    )


def as_markdown(observations: Sequence[Observation]) -> str:
    """The table of all that was seen."""
    head = ("what happened", "requests", "refused", "wrong", "lost", "defaults", "latest answer", "over after", "memory")
    return table(head, map(_row, observations))


def _row(seen: Observation) -> list[str]:
    return [
        seen.fault.name,
        f"{seen.requests}",
        _listed(seen.refused),
        f"{seen.wrong}",
        f"{seen.lost}",
        _listed(seen.defaults),
        f"{seen.longest_s * 1e3:,.0f} ms",
        f"{seen.over_s:.1f} s",
        f"{seen.resident_bytes / _MIB:,.0f} MiB ({seen.growth_bytes / _MIB:+.0f})",
    ]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {re.split('[(:]', what)[0].strip()}" for what, count in sorted(counts.items())) or "0"


def _timed(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Answers that an objective holds for."""
    return [each for each in outcomes if not each.answer.error and each.lane != Feedback.name]


def _with_deadline(outcomes: Sequence[Outcome]) -> list[Answer]:
    return [each.answer for each in outcomes if each.lane == Deadline.name]


def _troubles(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """What did not go as it does when nothing happens."""
    late_s = SLO_S + _WAY_S
    return [
        each
        for each in outcomes
        if each.answer.error
        or each.answer.is_default
        or (each.answer.latency_s > late_s and each.lane != Feedback.name)
    ]


def _is_calm(scene: Scene, since_s: float) -> bool:
    now_s = time.monotonic()
    recent = scene.traffic.between(max(since_s, now_s - _CALM_S))
    return now_s > since_s + _CALM_S and bool(recent) and not _troubles(recent)


def _memory(scene: Scene) -> dict[int, int]:
    """What each process takes, by its pid."""
    pids = [identity.pid for identity in scene.running().values() if identity is not None]
    return {pid: resident_bytes(pid) for pid in pids}

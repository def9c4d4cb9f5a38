"""What a fault did to the traffic: one row of the table."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.rig.template import fill
from tests.chaos.faults import Fault
from tests.chaos.judgement import WAY_S, Judge, is_timed
from tests.chaos.scenes import Scene, resident_bytes
from tests.chaos.traffic import DEADLINE_S, PATIENCE_S, Deadline, Feedback, Outcome
from tests.fixtures.waiting import wait_until

_BEFORE_S = 0.5
_CALM_S = 1.0
_CALMS_WITHIN_S = 60.0
_MOST_GROWTH_BYTES = 64 << 20
_MIB = 1 << 20
_TABLE = Path(__file__).with_suffix(".md")


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
        late: answers and refusals later than the fault allows.
        past_deadline: calls that ended after the deadline that they had set.
        over_s: how long after the fault a request failed, had its default or was late, for the last time.
        starved: requests that were late, or given up for want of time, while somebody in the cluster waited for a
            processor, for as long as they were late or half of the time that they had; they count as neither.
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
    starved: int
    resident_bytes: int
    growth_bytes: int

    @property
    def refusals(self) -> str:
        """What was refused, in words."""
        return _listed(self.refused)

    @property
    def default_outputs(self) -> str:
        """Default outputs, in words."""
        return _listed(self.defaults)

    @property
    def mebibytes(self) -> tuple[float, float]:
        """Memory, and its growth."""
        return self.resident_bytes / _MIB, self.growth_bytes / _MIB

    def misses(self) -> list[str]:
        """The bounds that were missed, in words."""
        fault = self.fault
        bounds = {
            f"{self.wrong} answers are wrong": self.wrong == 0,
            f"{self.lost} requests were lost": self.lost == 0,
            f"requests were refused on {dict(self.refused)}": self.refused.keys() <= fault.refused,
            f"there were defaults: {dict(self.defaults)}": fault.has_defaults or not self.defaults,
            f"{self.late} answers or refusals came later than {fault.longest_s:.2f} s": self.late == 0,
            f"{self.past_deadline} calls ended after their own deadline": self.past_deadline == 0,
            f"it took {self.over_s:.1f} s until all was as before": self.over_s <= fault.over_within_s,
            f"a process has grown by {self.growth_bytes // _MIB} MiB": self.growth_bytes < _MOST_GROWTH_BYTES,
        }
        return [miss for miss, holds in bounds.items() if not holds]


def observe(scene: Scene, fault: Fault) -> Observation:
    """Has a fault happen and waits until its traces are gone."""
    traffic, memory = scene.traffic, _memory(scene)
    wait_until(lambda: _is_calm(scene, 0.0), _CALMS_WITHIN_S)
    struck_s = time.monotonic()
    fault.strike(scene)
    mended_s = time.monotonic()
    wait_until(lambda: _is_calm(scene, mended_s), _CALMS_WITHIN_S)
    end_s = time.monotonic() - _CALM_S / 2
    # Who has not been answered by then is lost.
    lost_s = end_s + PATIENCE_S + _CALM_S
    wait_until(lambda: traffic.unanswered(end_s) == 0 or time.monotonic() > lost_s, 2 * PATIENCE_S)
    return _observation(scene, fault, traffic.between(struck_s - _BEFORE_S, end_s), struck_s, end_s, memory)


def _observation(
    scene: Scene, fault: Fault, outcomes: Sequence[Outcome], struck_s: float, end_s: float, memory: dict[int, int]
) -> Observation:
    judge, after = Judge(scene.meter), _memory(scene)
    defaults = [each.answer.explanation for each in outcomes if each.answer.is_default and not judge.is_starved(each)]
    return Observation(
        fault=fault,
        requests=len(outcomes),
        refused=Counter(each.lane for each in outcomes if each.answer.error and not judge.is_starved(each)),
        wrong=sum(each.is_wrong for each in outcomes) + len(scene.traffic.ended_twice),
        lost=scene.traffic.unanswered(end_s),
        defaults=Counter(map(_reason, defaults)),
        longest_s=max(each.answer.latency_s for each in outcomes if is_timed(each)),
        late=sum(each.lane != Feedback.name and judge.is_late(each, fault.longest_s) for each in outcomes),
        past_deadline=sum(each.lane == Deadline.name and judge.is_late(each, DEADLINE_S + WAY_S) for each in outcomes),
        over_s=max([0.0, *(each.answer.sent_s - struck_s for each in outcomes if judge.is_trouble(each))]),
        starved=sum(map(judge.is_starved, outcomes)),
        resident_bytes=sum(after.values()),
        growth_bytes=max((after[pid] - memory[pid] for pid in after.keys() & memory.keys()), default=0),
    )


def _is_calm(scene: Scene, since_s: float) -> bool:
    """Whether everything that was asked in the last second, all of it after a time, went as when nothing happens."""
    start_s = time.monotonic() - _CALM_S
    recent = scene.traffic.between(start_s)
    return start_s > since_s and bool(recent) and not any(map(Judge(scene.meter).is_trouble, recent))


def as_markdown(observations: Sequence[Observation]) -> str:
    """The table of all that was seen."""
    return fill(_TABLE.read_text(), {"observations": observations})


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "0"


def _reason(explanation: str) -> str:
    """The telling end of an explanation."""
    return explanation.rpartition(": ")[2]


def _memory(scene: Scene) -> dict[int, int]:
    """What each process takes, by its pid."""
    pids = [identity.pid for identity in scene.running().values() if identity is not None]
    return {pid: resident_bytes(pid) for pid in pids}

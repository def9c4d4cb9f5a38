"""Load on an application: what a generator is asked to do, and what came of it."""

import dataclasses
import json
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from bench.rig.errors import BenchmarkError
from bench.rig.processes import REPOSITORY

# By how much an answer may come after the objective: what the way to the client and back may take.
LATE_S = 0.005
_GRACE_S = 30.0


@dataclass(frozen=True, slots=True)
class Job:
    """A run of the generator.

    Attributes:
        address: host:port of a query service.
        questions: the file of the calls to make.
        inputs_a_call: how many queries each has.
        slo_s: the application's latency objective.
        seconds: how long to ask.
        calls_per_s: the rate, whatever comes back; 0: as many calls outstanding all the time as `outstanding` says.
        outstanding: how many then.
        spread_s: over how long the first of them are spread.
        most_calls: how many calls to make at most; 0: no limit.
        unary: whether each is a call of its own, and not a message of one PredictStream.
        connections: over how many connections they are made by REST, the questions being whole requests of HTTP/1.1; 0:
            they are made by gRPC.
    """

    address: str
    questions: str
    inputs_a_call: int
    slo_s: float
    seconds: float
    calls_per_s: float = 0.0
    outstanding: int = 0
    spread_s: float = 0.0
    most_calls: int = 0
    unary: bool = False
    connections: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    Attributes:
        asked: queries sent.
        answered: queries answered, with defaults or without.
        good: those that the model answered, in a call whose answer came within the objective and LATE_S.
        wrong: those that the model answered with something else than it should.
        defaults: default outputs, by reason.
        calls: answered calls.
        late_calls: those whose answer came later than the objective and LATE_S.
        seconds: from the first question to the last answer.
        p50_s, p99_s, longest_s: of the time from a call to its answer, as the client has it: at a rate, from when the
            call was to be made.
        lag_p99_s: by how much calls were made later than that.
        cpu_s: the generator's processor time.
    """

    asked: int
    answered: int
    good: int
    wrong: int
    defaults: Mapping[str, int]
    calls: int
    late_calls: int
    seconds: float
    p50_s: float
    p99_s: float
    longest_s: float
    lag_p99_s: float
    cpu_s: float = field(compare=False)

    @property
    def good_per_s(self) -> float:
        """Predictions a second within the objective."""
        return self.good / self.seconds

    @property
    def late_share(self) -> float:
        """Which part of the answers was late."""
        return self.late_calls / self.calls

    @property
    def reasons(self) -> str:
        """Which part of the queries got the default output, by reason, in words."""
        return ", ".join(
            f"{reason.removeprefix('DEFAULT_REASON_').lower()} {count / self.asked:.0%}"
            for reason, count in sorted(self.defaults.items())
        )

    @property
    def asked_per_s(self) -> float:
        """Queries a second that were sent."""
        return self.asked / self.seconds

    @property
    def good_share(self) -> float:
        """Which part of the queries was answered by the model in time."""
        return self.good / self.asked


class Generator:
    """A generator's process, for as long as the context lasts."""

    def __init__(self) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "bench.rig.generator"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._popen.kill()
        self._popen.communicate()

    def start(self, job: Job) -> None:
        """Starts a job."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps(dataclasses.asdict(job)) + "\n")
        self._popen.stdin.flush()

    def finish(self, job: Job) -> Outcome:
        """What came of the job that was started last.

        Raises:
            BenchmarkError: the generator failed, or some answers are wrong or missing.
        """
        assert self._popen.stdout is not None
        ready, _, _ = select.select([self._popen.stdout], [], [], job.seconds + _GRACE_S)
        line = self._popen.stdout.readline() if ready else ""
        if not line:
            raise BenchmarkError("the generator failed")
        outcome = Outcome(**json.loads(line))
        if outcome.wrong or outcome.answered != outcome.asked:
            raise BenchmarkError(f"answers are wrong or missing: {outcome}")
        return outcome

    def run(self, job: Job) -> Outcome:
        """Does a job; BenchmarkError as for `finish`."""
        self.start(job)
        return self.finish(job)


def run_together(jobs: Sequence[tuple[Generator, Job]]) -> list[Outcome]:
    """Does jobs at the same time, each by a generator of its own."""
    for generator, job in jobs:
        generator.start(job)
    return [generator.finish(job) for generator, job in jobs]

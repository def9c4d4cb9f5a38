"""One measurement: warm up, ask, and hold it against what the service counted and what the machine spent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.disturbances import Disturbances
from bench.errors import BenchmarkError
from bench.slo import questions
from bench.slo.load import Generator, Job, Outcome
from bench.slo.questions import Question
from bench.slo.system import System

GENERATOR = "generator"
_WARM_UP_S = 0.5
# A search for the capacity ends when this many steps in a row have brought less than this much.
_PATIENCE = 2
_GAIN = 1.05
_MOST_OUTSTANDING = 512
_FIRST_OUTSTANDING = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """What a measurement found.

    Attributes:
        outstanding: how many calls were outstanding all the time; 0: they came at a rate.
        inputs_a_call: how many queries each call had.
        outcome: what came of the load.
        mean_batch: inputs in a batch, on average.
        cpu_micros: microseconds of processor time for each query, by process.
    """

    outstanding: int
    inputs_a_call: int
    outcome: Outcome
    mean_batch: float
    cpu_micros: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Bench:
    """What measurements are made with.

    Attributes:
        system: Clipper.
        generator: makes the load.
        slo_s: the latency objective of the classifiers.
        seconds: how long each measurement takes.
        disturbances: has measurements made again.
    """

    system: System
    generator: Generator
    slo_s: float
    seconds: float
    disturbances: Disturbances

    def job(self, application: str, asked: Sequence[Question], slo_s: float) -> Job:
        """Asks an application these questions by turn, for as long as measurements take; without a load as yet."""
        file: Path = self.system.scratch / f"{application}.bin"
        questions.write(asked, file)
        return Job(self.system.address, str(file), len(asked[0].answers), slo_s, self.seconds)

    def sample(self, application: str, job: Job) -> Sample:
        """Does a job, again when it was disturbed, and measures; BenchmarkError as for `sample_once`."""
        return self.disturbances.avoid(lambda: self.sample_once(application, job))

    def sample_once(self, application: str, job: Job) -> Sample:
        """Does a job and measures.

        Raises:
            BenchmarkError: an answer is wrong or missing, or the service counted other ones.
        """
        self.generator.run(replace(job, seconds=_WARM_UP_S))
        read_counters = self.system.counters(application)
        counted, used_s = read_counters(), self.system.cpu_s()
        outcome = self.generator.run(job)
        used_s = {name: after_s - used_s[name] for name, after_s in self.system.cpu_s().items()}
        counted = read_counters() - counted
        if counted.predictions != outcome.asked:
            raise BenchmarkError(f"the generator counted {outcome.asked} queries, the service {counted.predictions}")
        return Sample(
            outstanding=job.outstanding,
            inputs_a_call=job.inputs_a_call,
            outcome=outcome,
            mean_batch=counted.inputs / counted.batches if counted.batches else 0.0,
            cpu_micros={
                name: seconds / outcome.asked * 1e6 for name, seconds in {**used_s, GENERATOR: outcome.cpu_s}.items()
            },
        )

    def saturate(self, application: str, job: Job) -> list[Sample]:
        """Doubles the calls outstanding until the predictions in time become no more; all samples, in this order."""
        samples: list[Sample] = []
        outstanding, without_gain = _FIRST_OUTSTANDING, 0
        while without_gain < _PATIENCE and outstanding <= _MOST_OUTSTANDING:
            samples.append(self.sample(application, replace(job, outstanding=outstanding)))
            without_gain = 0 if best(samples) is samples[-1] else without_gain + 1
            outstanding *= 2
        return samples


def best(samples: Sequence[Sample]) -> Sample:
    """The lowest load that brings about the most predictions in time."""
    most = max(sample.outcome.good_per_s for sample in samples)
    return next(sample for sample in samples if sample.outcome.good_per_s >= most / _GAIN)

"""Load on an application, held against what the service counted and what the machine spent; and the most it takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.rig import questions
from bench.rig.bench import Bench
from bench.rig.errors import BenchmarkError
from bench.rig.jobs import Job, Outcome
from bench.rig.models import Model
from bench.rig.questions import Question

_WARM_UP_S = 0.5
_SECONDS = 2.0
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


class Sampler:
    """Measures one application of one model.

    Attributes:
        job: what is asked, for as long as measurements take, as yet without a load.
        meter: of those who work for it.
    """

    def __init__(self, bench: Bench, application: str, model: Model, asked: Sequence[Question], slo_s: float) -> None:
        """Takes the questions, which are asked by turn, and the application's latency objective."""
        file = questions.write(asked, bench.directory())
        address, seconds = bench.cluster.query.address, bench.seconds(_SECONDS)
        self.job = Job(address, str(file), len(asked[0].answers), slo_s, seconds)
        self.meter = bench.cluster.meter(application, [model])
        self._bench = bench

    def sample(self, job: Job) -> Sample:
        """Does a job, again when it was disturbed, and measures; BenchmarkError as for `sample_once`."""
        return self._bench.disturbances.avoid(lambda: self.sample_once(job))

    def sample_once(self, job: Job) -> Sample:
        """Does a job and measures.

        Raises:
            BenchmarkError: an answer is wrong or missing, or the service counted other ones.
        """
        self._bench.generator.run(replace(job, seconds=_WARM_UP_S))
        before = self.meter.read()
        outcome = self._bench.generator.run(job)
        spent = self.meter.read() - before
        if spent.counted.predictions != outcome.asked:
            raise BenchmarkError(
                f"the generator counted {outcome.asked} queries, the service {spent.counted.predictions}"
            )
        cpu_micros = spent.cpu_micros(outcome.asked, outcome.cpu_s)
        return Sample(job.outstanding, job.inputs_a_call, outcome, spent.mean_batch, cpu_micros)

    def saturate(self, job: Job) -> list[Sample]:
        """Doubles the calls outstanding until the predictions in time become no more; all samples, in this order.

        Raises:
            BenchmarkError: as for `sample_once`, and when no load was answered in time.
        """
        samples: list[Sample] = []
        outstanding, without_gain = _FIRST_OUTSTANDING, 0
        while without_gain < _PATIENCE and outstanding <= _MOST_OUTSTANDING:
            samples.append(self.sample(replace(job, outstanding=outstanding)))
            without_gain = 0 if best(samples) is samples[-1] else without_gain + 1
            outstanding *= 2
        if not any(sample.outcome.good for sample in samples):
            raise BenchmarkError("nothing was predicted in time, whatever the load: is the machine busy?")
        return samples


def best(samples: Sequence[Sample]) -> Sample:
    """The lowest load that brings about the most predictions in time."""
    most = max(sample.outcome.good_per_s for sample in samples)
    return next(sample for sample in samples if sample.outcome.good_per_s >= most / _GAIN)

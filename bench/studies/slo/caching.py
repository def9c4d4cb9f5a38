"""The prediction cache in front of a slow model: popular inputs, and a thousand who ask for the same."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.rig.bench import Bench
from bench.rig.errors import BenchmarkError
from bench.rig.report import Check, Finding
from bench.rig.samples import Sample, Sampler
from bench.studies.slo import models
from bench.studies.slo.serving import serving

_INPUT_S = 0.005
_SLO_S = 1.0
_OUTSTANDING = 64
_IDENTICAL = 1000
# Zipf's law over so many inputs; the most popular are in the cache beforehand, so that about nine in ten are found.
_EXPONENT = 1.3
_CATALOGUE = 100_000
_WARM = 600
_DRAWS = 20_000
_SEED = 0
_LEAST_GAIN = 3.0


@dataclass(frozen=True, slots=True)
class Caching(Finding):
    """What was found.

    Attributes:
        without, cached: the same traffic without a cache and with one.
        hit_ratio: which part of it was answered from the cache, or by a prediction that was on its way.
        computed: how many of a thousand identical queries at the same time the model was asked.
    """

    without: Sample
    cached: Sample
    hit_ratio: float
    computed: int

    def checks(self) -> list[Check]:
        return [
            Check("the cache against none", self.gain, least=_LEAST_GAIN),
            Check("computations for a thousand identical queries", self.computed, most=1),
        ]

    @property
    def gain(self) -> float:
        """Of the cache, in predictions a second."""
        return self.cached.outcome.good_per_s / self.without.outcome.good_per_s


def measure(bench: Bench) -> Caching:
    """The same draws without and with the cache; then the identical ones."""
    subject = models.waiting("slow", batch_s=0.0, input_s=_INPUT_S)
    numbers = _draws()
    with serving(bench, subject, _SLO_S, numbers=numbers) as sampler:
        without = sampler.sample(replace(sampler.job, outstanding=_OUTSTANDING))
    with serving(bench, subject, _SLO_S, numbers=numbers, use_cache=True) as sampler:
        _warm_up(bench, subject)
        before = sampler.meter.counters()
        # Once, as it fills the cache.
        cached = sampler.sample_once(replace(sampler.job, outstanding=_OUTSTANDING, most_calls=_DRAWS))
        counted = sampler.meter.counters() - before
        computed = _computed_of_identical(bench, subject)
    return Caching(without, cached, 1 - counted.inputs / counted.predictions, computed)


def _draws() -> list[int]:
    """Inputs by rank of popularity, from 1."""
    ranks = range(1, _CATALOGUE + 1)
    weights = [rank**-_EXPONENT for rank in ranks]
    return random.Random(_SEED).choices(ranks, weights, k=_DRAWS)


def _warm_up(bench: Bench, subject: models.Subject) -> None:
    job = _sampler(bench, subject, range(1, _WARM + 1)).job
    seconds = 1.5 * _INPUT_S * _WARM
    bench.generator.run(replace(job, outstanding=_OUTSTANDING, most_calls=_WARM, seconds=seconds))


def _computed_of_identical(bench: Bench, subject: models.Subject) -> int:
    sampler = _sampler(bench, subject, [0])
    before = sampler.meter.counters()
    outcome = bench.generator.run(replace(sampler.job, outstanding=_IDENTICAL, most_calls=_IDENTICAL))
    if outcome.good != _IDENTICAL:
        raise BenchmarkError(f"not all of {_IDENTICAL} identical queries were answered: {outcome}")
    return (sampler.meter.counters() - before).inputs


def _sampler(bench: Bench, subject: models.Subject, numbers: Sequence[int]) -> Sampler:
    """Of the application that is served, asked about other inputs."""
    name = subject.model.name
    return Sampler(bench, name, subject.model, subject.marked(name, numbers), _SLO_S)

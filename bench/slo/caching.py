"""The prediction cache in front of a slow model: popular inputs, and a thousand who ask for the same."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.errors import BenchmarkError
from bench.slo import models
from bench.slo.finding import Check, ms, per_s
from bench.slo.measure import Bench, Sample
from bench.slo.questions import marked
from bench.tables import table

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
class Caching:
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
        """The floors."""
        gain = self.cached.outcome.good_per_s / self.without.outcome.good_per_s
        return [
            Check("the cache against none", gain, least=_LEAST_GAIN),
            Check("computations for a thousand identical queries", self.computed, most=1),
        ]

    def section(self) -> str:
        """The text."""
        without = self.without.outcome.good_per_s
        head = ("", "predictions/s", "against none", "p50, ms", "p99, ms")
        rows = [
            (
                title,
                per_s(sample.outcome.good_per_s),
                f"**{sample.outcome.good_per_s / without:.1f}**",
                ms(sample.outcome.p50_s),
                ms(sample.outcome.p99_s),
            )
            for title, sample in (("no cache", self.without), ("cache", self.cached))
        ]
        return _SECTION.format(
            input=ms(_INPUT_S),
            exponent=_EXPONENT,
            catalogue=f"{_CATALOGUE:,}",
            outstanding=_OUTSTANDING,
            hits=f"{self.hit_ratio:.0%}",
            identical=f"{_IDENTICAL:,}",
            computed=self.computed,
            rows=table(head, rows),
        )


def measure(bench: Bench) -> Caching:
    """The same draws without and with the cache; then the identical ones."""
    subject = models.waiting("slow", batch_s=0.0, input_s=_INPUT_S)
    numbers = _draws()
    with bench.system.serving(subject, _SLO_S) as application:
        job = bench.job(application, marked(subject, application, numbers), _SLO_S)
        without = bench.sample(application, replace(job, outstanding=_OUTSTANDING))
    with bench.system.serving(subject, _SLO_S, use_cache=True) as application:
        _warm_up(bench, subject, application)
        read_counters = bench.system.counters(application)
        job = bench.job(application, marked(subject, application, numbers), _SLO_S)
        before = read_counters()
        # Once, as it fills the cache.
        cached = bench.sample_once(application, replace(job, outstanding=_OUTSTANDING, most_calls=_DRAWS))
        counted = read_counters() - before
        computed = _computed_of_identical(bench, subject, application)
    return Caching(without, cached, 1 - counted.inputs / counted.predictions, computed)


def _draws() -> list[int]:
    """Inputs by rank of popularity, from 1."""
    ranks = range(1, _CATALOGUE + 1)
    weights = [rank**-_EXPONENT for rank in ranks]
    return random.Random(_SEED).choices(ranks, weights, k=_DRAWS)


def _warm_up(bench: Bench, subject: models.Subject, application: str) -> None:
    ranks: Sequence[int] = range(1, _WARM + 1)
    job = bench.job(application, marked(subject, application, ranks), _SLO_S)
    seconds = 1.5 * _INPUT_S * _WARM
    bench.generator.run(replace(job, outstanding=_OUTSTANDING, most_calls=_WARM, seconds=seconds))


def _computed_of_identical(bench: Bench, subject: models.Subject, application: str) -> int:
    job = bench.job(application, marked(subject, application, [0]), _SLO_S)
    read_counters = bench.system.counters(application)
    before = read_counters()
    outcome = bench.generator.run(replace(job, outstanding=_IDENTICAL, most_calls=_IDENTICAL))
    if outcome.good != _IDENTICAL:
        raise BenchmarkError(f"not all of {_IDENTICAL} identical queries were answered: {outcome}")
    return (read_counters() - before).inputs


_SECTION = """## The cache

A model that takes {input} ms for each input, and native calls of one input, {outstanding} outstanding all the time. The
inputs are drawn by Zipf's law with exponent {exponent} from {catalogue}; {hits} of the queries needed no computation of
their own.

{rows}

Of {identical} identical queries at the same time, {computed} reached the model.
"""

"""A subject, served for an application of its own, and what measures it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.rig.bench import Bench
from bench.rig.cluster import ADAPTIVE, Batching
from bench.rig.samples import Sampler
from bench.studies.slo.models import Subject

CLASSIFIERS_SLO_S = 0.02
"""The latency objective of what is no accelerator."""


@contextmanager
def serving(
    bench: Bench,
    subject: Subject,
    slo_s: float,
    *,
    inputs: int = 1,
    batching: Batching = ADAPTIVE,
    replicas: int = 1,
    numbers: Sequence[int] = (),
    use_cache: bool = False,
) -> Iterator[Sampler]:
    """Serves, and asks calls of so many inputs or, where there are numbers, of one that is marked with each."""
    model = subject.model
    with (
        bench.cluster.serving(model, batching=batching, replicas=replicas),
        bench.cluster.application(model.name, [model], slo_s, use_cache=use_cache) as application,
    ):
        asked = subject.marked(application, numbers) if numbers else subject.calls(application, inputs)
        yield Sampler(bench, application, model, asked, slo_s)

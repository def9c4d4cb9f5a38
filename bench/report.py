"""The report: the figures as Markdown for docs/benchmarks.md, and raw as JSON."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench import lanes
from bench.comparisons import AGAINST_BASELINE, AGAINST_ITSELF, AGAINST_ONE_MODEL, Comparison, Quantity, Samples
from bench.measure import GENERATOR, Sample
from bench.memory import MOST_GROWTH_BYTES, MemorySeries
from bench.tables import table

_PROCESSES = (lanes.SERVER, lanes.CONTAINER, lanes.ENVOY, GENERATOR)
_MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Results:
    """All that a run found.

    Attributes:
        machine: what it ran on, by what each is.
        seconds: how long each measurement took.
        samples: by lane, one a round.
        memory: the query service's memory.
    """

    machine: Mapping[str, str]
    seconds: float
    samples: Samples
    memory: MemorySeries

    def missed_floors(self) -> list[str]:
        """What is below its floor, in words."""
        missed = [
            f"{each.title}: {each.ratio(self.samples):.2f} times {each.base!r} in {each.quantity.value}, {_floor(each)}"
            for each in (*AGAINST_BASELINE, *AGAINST_ONE_MODEL)
            if each.is_missed(self.samples)
        ]
        if not self.memory.is_flat:
            missed.append(f"memory: {_growth(self.memory)}, at most {MOST_GROWTH_BYTES:g}")
        return missed

    def as_json(self) -> str:
        """Every figure."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    def as_markdown(self) -> str:
        """The document."""
        return _DOCUMENT.format(
            machine="\n".join(f"- {name}: {value}" for name, value in self.machine.items()),
            rounds=len(self.samples[lanes.NATIVE]),
            seconds=f"{self.seconds:g}",
            in_flight=lanes.IN_FLIGHT,
            vectors=lanes.VECTORS_A_CALL,
            vector_calls=lanes.VECTOR_CALLS_IN_FLIGHT,
            streams=lanes.STREAMS,
            pipelined=lanes.PIPELINED,
            against_baseline=_comparisons(AGAINST_BASELINE, self.samples, "baseline", "Clipper"),
            against_one_model=_comparisons(AGAINST_ONE_MODEL, self.samples, "one model", "four models"),
            against_itself=_comparisons(AGAINST_ITSELF, self.samples, "without", "with"),
            lanes=_lanes(self.samples),
            cpu=_cpu(self.samples),
            memory=_memory(self.memory),
            growth=_growth(self.memory),
        )


def _comparisons(comparisons: Iterable[Comparison], samples: Samples, base: str, ours: str) -> str:
    rows = [
        (
            each.title,
            _quantity(each.quantity, samples[each.base]),
            _quantity(each.quantity, samples[each.lane]),
            f"**{each.ratio(samples):.2f}**",
            _floor(each),
        )
        for each in comparisons
    ]
    return table(("measure", base, ours, "ratio", "floor"), rows)


def _lanes(samples: Samples) -> str:
    rows = [
        (
            name,
            f"{_median(lane, 'predictions_per_s'):,.0f}",
            f"{_median(lane, 'p50_s') * 1e3:.2f}",
            f"{_median(lane, 'p99_s') * 1e3:.2f}",
            f"{_median(lane, 'mean_batch'):.1f}" if lane[0].mean_batch else "",
        )
        for name, lane in samples.items()
    ]
    return table(("load", "predictions/s", "p50 of a call, ms", "p99 of a call, ms", "inputs in a batch"), rows)


def _cpu(samples: Samples) -> str:
    rows = []
    for name, lane in samples.items():
        by_process = [
            f"{median(sample.cpu_micros[process] for sample in lane):.1f}" if process in lane[0].cpu_micros else ""
            for process in _PROCESSES
        ]
        rows.append((name, *by_process))
    return table(("load", *_PROCESSES), rows)


def _memory(series: MemorySeries) -> str:
    rows = [
        (f"{each.predictions:,}", f"{each.peak_resident_bytes / _MEBIBYTE:.1f}", f"{each.cache_bytes / _MEBIBYTE:.1f}")
        for each in series.readings
    ]
    return table(("predictions", "peak resident, MiB", "cache, MiB"), rows)


def _quantity(quantity: Quantity, lane: Sequence[Sample]) -> str:
    middle = median(quantity.of(sample) for sample in lane)
    return f"{middle:,.0f} /s" if quantity is Quantity.RATE else f"{middle * 1e3:.2f} ms"


def _floor(comparison: Comparison) -> str:
    if comparison.floor is None:
        return ""
    bound = "at least" if comparison.quantity is Quantity.RATE else "at most"
    return f"{bound} {comparison.floor:g}"


def _growth(series: MemorySeries) -> str:
    return f"{series.growth_bytes:+.2f} bytes a prediction"


def _median(lane: Sequence[Sample], attribute: str) -> float:
    return median(float(getattr(sample, attribute)) for sample in lane)


_DOCUMENT = """# Benchmarks

Written by `python -m bench --write docs/benchmarks.md`; do not edit. The figures are of one machine on one day. What
carries over to another machine are the ratios.

{machine}

Generator, servers and Envoy share the cores. Each load is measured {rounds} times, for about {seconds} s after a
warm-up, the baseline's and Clipper's in turn. A ratio is the median of the rounds' ratios, every other figure the
median of the rounds.

**The baseline** is a bare server on grpc.aio, grpcio's public API: one process that decodes nothing and answers each
call with fixed bytes, as many as Clipper's answer has. For REST it stands behind an Envoy of the same configuration.
**Clipper** is the query service, the container of a model that returns "1" for each input, management, Redis, and Envoy
for REST, all as ProcessContainerManager runs them. The prediction cache is off. An input is ten doubles, an output one
string.

## Against the baseline

{against_baseline}

"64 calls in flight" are on one connection. The baseline of the calls of {vectors} vectors ({vector_calls} of them in
flight) and of PredictStream ({streams} streams, {pipelined} predictions pipelined in each) are the baseline's calls of
one vector: that is what an application would otherwise make. Latencies are medians on one connection.

## What batching and the cache bring

{against_itself}

The model is free, so a batch saves only the overhead of each message to the container; a model that computes gains
more. The cached input is always the same one.

## What selection costs

{against_one_model}

An application of one model, against two that are linked to four such models, each in a container of its own: with the
selection policy `exp3` each query is given to one of them, and with `majority` to all. Every prediction is kept in
Redis for its feedback, and none gets any.

## Rates and latencies

{lanes}

With {in_flight} calls always in flight, latency is {in_flight} divided by the rate and says nothing more.

## Processor time

Microseconds for each prediction, in user and system mode, of every process. "Server" is the baseline's one process, or
the query service; "container" is all containers of the application's models.

{cpu}

## Memory

The most of the query service that was resident in memory during each step, over predictions of inputs that are all
different, with its cache on at its default size, so that it fills and then evicts.

{memory}

Once the cache is full and all of it was replaced once: {growth}.

## How to repeat it

`make bench` measures, prints this page, and fails when a ratio is below its floor; it takes about seven minutes, more
where the host disturbs it, and wants a machine that does nothing else. Raw figures: `build/bench.json`. Logs:
`build/bench/`. Options: `python -m bench --help`.

No figure comes from answers that were not checked. Answers are read in full before and after each measurement; in
between every call must succeed, the number of answered bytes must be what those answers make, and the query service
must have counted as many predictions as the generator and not a single default output.

## What it does not show

- More than one machine. On its own machine the query service would not share its cores with the generator.
- A model that computes. With one, its time decides, and the system's part is what the latency table shows.
- Latency under partial load, bursts, stragglers and failures; the simulations in tests/simulation assert what holds
  then.
- Large inputs. Ten doubles are 80 bytes; an image costs what its bytes cost in gRPC and, by REST, in JSON.
- More than one query service or replica.
"""

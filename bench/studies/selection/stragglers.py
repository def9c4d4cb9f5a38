"""Figure 9 of the paper: ensembles of 1 to 16 models that are sometimes slow, with an objective and without.

The members are forests whose answers were computed beforehand: in service they wait, as models on machines of their own
would be waited for, so that it is not the two cores of this one that are measured.
"""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from bench.rig.bench import Bench
from bench.rig.client import Client
from bench.rig.cluster import Cluster, Latency
from bench.rig.models import Images, Model
from bench.rig.report import Check, Finding
from bench.rig.statistics import quantile
from bench.studies.selection import digits, plots
from bench.studies.selection.digits import Labelled

_SIZES = (1, 2, 4, 8, 16)
_QUERIES = 250
_SLO_S = 0.02
_PATIENCE_S = 5.0
_TOLERANCE_S = 0.003
# How long a member takes, and how often it takes how much longer.
_USUAL_S = (0.003, 0.008)
_STRAGGLES = 0.03
_STRAGGLER_S = (0.04, 0.12)
_INTERVAL_S = 0.03
_TREES, _DEPTH, _EXAMPLES = 10, 16, 150
_SEED = 3
_FILE = "selection-stragglers.svg"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one ensemble with one objective.

    Attributes:
        service: its latency by the query service's clock.
        client_mean_s, client_p99_s: by the client's.
        error: of the answers.
        missing: the share of members that did not answer in time.
        defaults: how many answers were default outputs.
    """

    service: Latency
    client_mean_s: float
    client_p99_s: float
    error: float
    missing: float
    defaults: int


@dataclass(frozen=True, slots=True)
class Stragglers(Finding):
    """What was found, by the number of members: waiting for all of them, and until the objective."""

    queries: int
    blocking: Mapping[int, Outcome]
    mitigated: Mapping[int, Outcome]

    def checks(self) -> list[Check]:
        return [
            Check(
                f"members: {size}, p99 of the answer until the objective, ms",
                outcome.service.p99_s * 1e3,
                most=(_SLO_S + _TOLERANCE_S) * 1e3,
            )
            for size, outcome in self.mitigated.items()
        ]

    @property
    def rows(self) -> list[tuple[int, Outcome, Outcome]]:
        """Both by the number of members."""
        return [(size, self.blocking[size], self.mitigated[size]) for size in self.mitigated]

    def draw(self, directory: Path) -> None:
        """Latencies, and errors, over the number of members."""
        sizes = list(self.mitigated)
        with plots.figure(directory / _FILE, panels=2) as (latencies, errors):
            for title, outcomes in (("waiting for all", self.blocking), ("until the objective", self.mitigated)):
                latencies.plot(sizes, [outcomes[size].service.p99_s * 1e3 for size in sizes], marker="o", label=title)
                errors.plot(sizes, [outcomes[size].error for size in sizes], marker="o", label=title)
            latencies.axhline(_SLO_S * 1e3, color="0.5", linestyle="--", label="objective")
            latencies.set(ylabel="p99 of the answer, ms", ylim=(0.0, None))
            errors.set(ylabel="error", ylim=(0.0, None))
            for axes in (latencies, errors):
                axes.set(xlabel="members", xscale="log")
                axes.set_xticks(sizes, [str(size) for size in sizes], minor=False)
                axes.minorticks_off()
                axes.legend()


def measure(bench: Bench) -> Stragglers:
    """Asks ensembles of each size one query after the other, waiting for all members and until the objective."""
    queries, cluster = bench.amount(_QUERIES), bench.cluster
    asked = digits.queries(queries, _SEED)
    members = [_member(number, asked) for number in range(max(_SIZES))]
    blocking, mitigated = {}, {}
    with cluster.serving(*members):
        for size in _SIZES:
            blocking[size] = _outcome(cluster, f"patient-{size}", members[:size], _PATIENCE_S, asked.labels)
            mitigated[size] = _outcome(cluster, f"prompt-{size}", members[:size], _SLO_S, asked.labels)
    return Stragglers(queries, blocking, mitigated)


def _outcome(cluster: Cluster, name: str, members: Sequence[Model], slo_s: float, labels: Sequence[str]) -> Outcome:
    latencies_s, wrong, missing, defaults = [], [], [], 0
    with (
        cluster.application(name, members, slo_s, "majority", use_cache=False) as application,
        Client(cluster.query.address, application) as client,
    ):
        due_s = time.perf_counter()
        for number, label in enumerate(labels):
            asked_s = time.perf_counter()
            (answer,) = client.predict(np.array([[float(number)]]), explain=True)
            latencies_s.append(time.perf_counter() - asked_s)
            wrong.append(answer.output != label)
            missing.append(sum(not arm.HasField("output") for arm in answer.selection.arms) / len(members))
            defaults += answer.is_default
            due_s = max(due_s + _INTERVAL_S, time.perf_counter())
            time.sleep(max(0.0, due_s - time.perf_counter()))
        service = cluster.latency(application)
    latencies_s.sort()
    return Outcome(
        service=service,
        client_mean_s=float(np.mean(latencies_s)),
        client_p99_s=quantile(latencies_s, 0.99),
        error=float(np.mean(wrong)),
        missing=float(np.mean(missing)),
        defaults=defaults,
    )


def _member(number: int, asked: Labelled) -> Model:
    """A forest that has seen few images; an input is the number of a query."""
    forest = RandomForestClassifier(_TREES, max_depth=_DEPTH, random_state=number)
    answers = digits.classifying(forest, digits.training(_EXAMPLES, number))(asked.images)
    chance = random.Random(number)

    def wait_and_answer(inputs: Images) -> list[int]:
        time.sleep(chance.uniform(*(_STRAGGLER_S if chance.random() < _STRAGGLES else _USUAL_S)))
        return [answers[int(number)] for number in inputs[:, 0]]

    return Model(f"member-{number}", wait_and_answer)

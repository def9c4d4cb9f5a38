"""Many clients, three query services, one of them killed: what was learned is what was confirmed, each exactly once."""

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from random import Random
from statistics import fmean
from typing import TypeVar

import grpc
import numpy as np
from clipper.v1 import query_service_pb2

from bench.rig.bench import Bench
from bench.rig.client import Client, Prediction
from bench.rig.cluster import Cluster, running_cluster
from bench.rig.errors import BenchmarkError
from bench.rig.models import Images, constant
from bench.rig.report import Check, Finding
from services.query.engine.policies.exp3 import Exp3
from services.query.engine.policies.policy import Observation

_FEEDBACKS = 100_000
_QUERY_SERVICES = 3
_CLIENTS = 32
_AT_ONCE = 50
_APPLICATION = "bookkeeping"
_CLUSTER = "bench-many"
_OUTPUTS = ("0", "1", "2", "3")
_SLO_S = 2.0
_ETA = 0.1
_GAMMA = 0.002
_POLICY, _WEIGHT = Exp3({"eta": _ETA, "gamma": _GAMMA}), "log_weight:"
_RETRY_S = 0.05
_PATIENCE_S = 60.0
# Redis and this process add the same numbers in different orders.
_MOST_DIFFERENCE = 1e-9
_Answer = TypeVar("_Answer")

_CONFIRMED = frozenset({query_service_pb2.FEEDBACK_STATUS_LEARNED, query_service_pb2.FEEDBACK_STATUS_ALREADY_LEARNED})


@dataclass(frozen=True, slots=True)
class Bookkeeping(Finding):
    """What was found.

    Attributes:
        confirmed: how much feedback was confirmed.
        unknown: how much was about predictions that nobody knows, of the service that was killed.
        seconds: how long it took.
        learned: the sum of what each model was charged, as the state has it, less the mean of all.
        expected: as the confirmed feedback makes it.
    """

    confirmed: int
    unknown: int
    seconds: float
    learned: Sequence[float]
    expected: Sequence[float]

    @property
    def difference(self) -> float:
        """The largest, as a part of what is expected."""
        size = max(map(abs, self.expected))
        return max(abs(a - b) / size for a, b in zip(self.learned, self.expected, strict=True))

    def checks(self) -> list[Check]:
        return [Check("what was learned against what was confirmed, as a part", self.difference, most=_MOST_DIFFERENCE)]

    @property
    def rows(self) -> list[tuple[int, float, float]]:
        """Of each model: its number, what was learned, and what was expected."""
        return [(number, *both) for number, both in enumerate(zip(self.learned, self.expected, strict=True))]


class _Books:
    """What all clients have been told; calls `half_way` once, when half of what is wanted is confirmed."""

    def __init__(self, wanted: int, half_way: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._wanted = wanted
        self._half_way: Callable[[], None] | None = half_way
        self.confirmed = 0
        self.unknown = 0
        self.charges: defaultdict[str, float] = defaultdict(float)

    @property
    def is_done(self) -> bool:
        return self.confirmed >= self._wanted

    def enter(self, predictions: Sequence[Prediction], label: str, statuses: Sequence[int]) -> None:
        with self._lock:
            for prediction, status in zip(predictions, statuses, strict=True):
                if status not in _CONFIRMED:
                    self.unknown += 1
                    continue
                self.confirmed += 1
                asked = next(arm.model for arm in prediction.selection.arms if arm.asked)
                models = [arm.model for arm in prediction.selection.arms]
                losses = {asked: float(prediction.output != label)}
                observation = Observation(losses, prediction.selection.probability)
                for name, change in _POLICY.increments(models, observation).items():
                    self.charges[name.removeprefix(_WEIGHT)] += change
            if self._half_way is not None and 2 * self.confirmed >= self._wanted:
                half_way, self._half_way = self._half_way, None
                half_way()


def measure(bench: Bench) -> Bookkeeping:
    """Predicts, and tells what was right to whichever query service, until so much is confirmed.

    Raises:
        BenchmarkError: a query service could not be reached any more.
    """
    models = [constant(f"always-{output}", output) for output in _OUTPUTS]
    parameters = {"eta": _ETA, "gamma": _GAMMA}
    with (
        running_cluster(_CLUSTER, bench.build / "logs" / _CLUSTER, _QUERY_SERVICES) as cluster,
        cluster.serving(*models),
        cluster.application(_APPLICATION, models, _SLO_S, "exp3", policy_parameters=parameters),
    ):
        books = _Books(bench.amount(_FEEDBACKS), partial(cluster.kill_query_service, 1))
        started_s = time.monotonic()
        with ThreadPoolExecutor(_CLIENTS) as clients:
            runs = [clients.submit(_run, cluster, books, number) for number in range(_CLIENTS)]
            for run in runs:
                run.result()
        seconds = time.monotonic() - started_s
        state = cluster.selection_state(_APPLICATION)
    learned = [state[_WEIGHT + model.name] for model in models]
    expected = [books.charges[model.name] for model in models]
    return Bookkeeping(books.confirmed, books.unknown, seconds, _apart(learned), _apart(expected))


def _apart(log_weights: Sequence[float]) -> list[float]:
    """Less their mean: what is given back to all of them depends on the lag, which clients do not know."""
    middle = fmean(log_weights)
    return [log_weight - middle for log_weight in log_weights]


def _run(cluster: Cluster, books: _Books, number: int) -> None:
    """One client: asks one query service after the other, and tells the next."""
    random, generator = Random(number), np.random.default_rng(number)
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(service.address, _APPLICATION)) for service in cluster.query_services]
        turns = itertools.islice(itertools.cycle(clients), number, None)
        while not books.is_done:
            images = generator.random((_AT_ONCE, 1))
            answers = _patiently(turns, partial(_ask, images=images))
            label = random.choice(_OUTPUTS)
            books.enter(answers, label, _patiently(turns, partial(_tell, answers=answers, label=label)))


def _ask(client: Client, images: Images) -> list[Prediction]:
    return [answer for answer in client.predict(images, explain=True) if not answer.is_default]


def _tell(client: Client, answers: Sequence[Prediction], label: str) -> list[int]:
    return client.learn([answer.query_id for answer in answers], label)


def _patiently(turns: Iterator[Client], call: Callable[[Client], list[_Answer]]) -> list[_Answer]:
    """Calls one query service after the other until one answers; feedback that was learned already does no harm."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return call(next(turns))
        except grpc.RpcError as error:
            if time.monotonic() > deadline_s:
                raise BenchmarkError(f"no query service answers: {error}") from error
            time.sleep(_RETRY_S)

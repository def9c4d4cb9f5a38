"""The lanes of a run: who is asked what, and how many calls are kept in flight."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import counters, load, payloads, probes
from bench.cluster import ADAPTIVE, ARMS, BANDIT, ENSEMBLE, SINGLE, Baseline, Cluster, Edge, QueryService
from bench.counters import Counters
from bench.measure import Lane, Worker
from bench.processes import Processes

BASELINE_NATIVE = "baseline, native"
NATIVE = "native"
VECTORS = "native, 64 vectors a call"
STREAM = "native, PredictStream"
UNBATCHED = "native, batches of one"
CACHED = "native, one cached input"
BANDIT_NATIVE = "native, exp3 over four models"
ENSEMBLE_NATIVE = "native, four models voting"
BASELINE_REST = "baseline, REST"
REST = "REST"
BASELINE_NATIVE_ALONE = "baseline, native, one at a time"
NATIVE_ALONE = "native, one at a time"
BASELINE_REST_ALONE = "baseline, REST, one at a time"
REST_ALONE = "REST, one at a time"

SERVER = "server"
CONTAINER = "container"
ENVOY = "Envoy"

IN_FLIGHT = 64
VECTORS_A_CALL = 64
VECTOR_CALLS_IN_FLIGHT = 16
PIPELINED = 256
STREAMS = 2


def make(cluster: Cluster, baseline: Baseline, scratch: Path) -> dict[str, Lane]:
    """All lanes in the order in which they are to be measured, those that are compared close to each other.

    Args:
        cluster: Clipper.
        baseline: the bare server.
        scratch: an empty directory for the generators' files.
    """
    bare = _Side(baseline.address, baseline.edge, {SERVER: baseline.process}, None, ADAPTIVE, scratch / "baseline")
    ours = _clipper(cluster, cluster.query, ADAPTIVE, scratch / "clipper")
    unbatched = _clipper(cluster, cluster.query, SINGLE, scratch / "unbatched")
    cached = _clipper(cluster, cluster.caching_query, ADAPTIVE, scratch / "cached")
    bandit = _clipper(cluster, cluster.query, BANDIT, scratch / "bandit", ARMS)
    ensemble = _clipper(cluster, cluster.query, ENSEMBLE, scratch / "ensemble", ARMS)
    return {
        BASELINE_NATIVE: bare.native(IN_FLIGHT),
        NATIVE: ours.native(IN_FLIGHT),
        BANDIT_NATIVE: bandit.native(IN_FLIGHT),
        ENSEMBLE_NATIVE: ensemble.native(IN_FLIGHT),
        VECTORS: ours.native(VECTOR_CALLS_IN_FLIGHT, VECTORS_A_CALL),
        BASELINE_REST: bare.rest(IN_FLIGHT),
        REST: ours.rest(IN_FLIGHT),
        STREAM: ours.stream(),
        UNBATCHED: unbatched.native(IN_FLIGHT),
        CACHED: cached.native(IN_FLIGHT),
        BASELINE_NATIVE_ALONE: bare.native(1),
        NATIVE_ALONE: ours.native(1),
        BASELINE_REST_ALONE: bare.rest(1),
        REST_ALONE: ours.rest(1),
    }


@dataclass(frozen=True, slots=True)
class _Side:
    """A server and how to ask it.

    Attributes:
        address: host:port for native calls.
        edge: the Envoy in front of it.
        processes: who works for a native call.
        metrics: host:port of its Prometheus text; None when it has none.
        application: whom to ask for.
        scratch: a directory of its own, to be made.
    """

    address: str
    edge: Edge
    processes: Mapping[str, Worker]
    metrics: str | None
    application: str
    scratch: Path

    def native(self, in_flight: int, vectors: int = 1) -> Lane:
        """Predict calls."""
        message = payloads.predict_request(self.application, vectors).SerializeToString()
        return self._native(payloads.PREDICT, [message], in_flight, vectors)

    def stream(self) -> Lane:
        """PredictStream calls that pipeline many predictions each."""
        messages = payloads.predict_stream_requests(self.application, PIPELINED)
        return self._native(payloads.PREDICT_STREAM, messages, STREAMS, PIPELINED)

    def rest(self, connections: int) -> Lane:
        """REST calls."""
        return Lane(
            load.rest(self.edge.address, self.application, connections, self._directory(f"rest-{connections}")),
            probes.rest(self.edge.address, self.application),
            1,
            {**self.processes, ENVOY: self.edge.process},
            self._counters(),
        )

    def _native(self, path: str, messages: Sequence[bytes], in_flight: int, predictions: int) -> Lane:
        directory = self._directory(f"{path.rpartition('/')[2]}-{in_flight}")
        return Lane(
            load.native(self.address, path, messages, in_flight, directory),
            probes.native(self.address, path, messages, predictions),
            predictions,
            self.processes,
            self._counters(),
        )

    def _directory(self, name: str) -> Path:
        directory = self.scratch / name
        directory.mkdir(parents=True)
        return directory

    def _counters(self) -> Callable[[], Counters] | None:
        return counters.reader(self.metrics, self.application) if self.metrics else None


def _clipper(
    cluster: Cluster, query: QueryService, application: str, scratch: Path, models: Sequence[str] = ()
) -> _Side:
    """An application with the models that it is linked to; none: the one of its name."""
    containers = Processes([cluster.containers[model] for model in models or [application]])
    processes: dict[str, Worker] = {SERVER: query.process, CONTAINER: containers}
    return _Side(query.address, cluster.edge, processes, query.metrics, application, scratch)

"""Clients that ask for a prediction and tell what it should have been, one after the other."""

import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from clipper.v1 import query_service_pb2
from clipper.v1.query_service_pb2_grpc import QueryServiceStub

from bench.rig.errors import BenchmarkError
from bench.rig.load import Load
from bench.rig.payloads import OUTPUT, framed_size, vector_request
from bench.rig.statistics import quantile

_TIMEOUT_S = 10.0


class FeedbackLoad:
    """So many clients at a time of an application at host:port `address`; see `bench.rig.load.Generator`."""

    def __init__(self, address: str, application: str, clients: int) -> None:
        self._address = address
        self._request = vector_request(application)
        self._clients = clients

    def run(self, seconds: float) -> Load:
        """Calls are predictions, each with its feedback; BenchmarkError when some is not learned from."""
        cpu_before_s, began_s = time.process_time(), time.perf_counter()
        until_s = began_s + seconds
        with grpc.insecure_channel(self._address) as channel, ThreadPoolExecutor(self._clients) as clients:
            stub = QueryServiceStub(channel)
            runs = list(clients.map(lambda _: self._keep_calling(stub, until_s), range(self._clients)))
        lasted_s = time.perf_counter() - began_s
        latencies_s = sorted(latency_s for latencies_s, _ in runs for latency_s in latencies_s)
        return Load(
            calls=len(latencies_s),
            calls_per_s=len(latencies_s) / lasted_s,
            p50_s=quantile(latencies_s, 0.5),
            p99_s=quantile(latencies_s, 0.99),
            answer_bytes=sum(answer_bytes for _, answer_bytes in runs),
            cpu_s=time.process_time() - cpu_before_s,
        )

    def _keep_calling(self, stub: QueryServiceStub, until_s: float) -> tuple[list[float], int]:
        """The times that predictions took with their feedback, and the sum of the predictions' sizes."""
        latencies_s, answer_bytes = [], 0
        now_s = time.perf_counter()
        while now_s < until_s:
            answer = stub.Predict(self._request, timeout=_TIMEOUT_S)
            answer_bytes += framed_size([answer.SerializeToString()])
            self._tell(stub, answer.predictions[0].query_id)
            finished_s = time.perf_counter()
            latencies_s.append(finished_s - now_s)
            now_s = finished_s
        return latencies_s, answer_bytes

    def _tell(self, stub: QueryServiceStub, query_id: int) -> None:
        item = query_service_pb2.FeedbackItem(query_id=query_id, label=OUTPUT)
        request = query_service_pb2.FeedbackRequest(application=self._request.application, feedback=[item])
        (result,) = stub.Feedback(request, timeout=_TIMEOUT_S).results
        if result.status != query_service_pb2.FEEDBACK_STATUS_LEARNED:
            raise BenchmarkError(f"feedback was not learned from: {result}")

"""Clients that ask for a prediction and tell what it should have been, one after the other."""

import time
from concurrent.futures import ThreadPoolExecutor

from bench.rig.client import Client, check_learned
from bench.rig.load import Load
from bench.rig.payloads import OUTPUT, VECTOR, framed_size
from bench.rig.statistics import quantile


class FeedbackLoad:
    """So many clients at a time of an application at host:port `address`; see `bench.rig.load.Generator`."""

    def __init__(self, address: str, application: str, clients: int) -> None:
        self._address = address
        self._application = application
        self._clients = clients

    def run(self, seconds: float) -> Load:
        """Calls are predictions, each with its feedback; BenchmarkError when some is not learned from."""
        cpu_before_s, began_s = time.process_time(), time.perf_counter()
        until_s = began_s + seconds
        with Client(self._address, self._application) as client, ThreadPoolExecutor(self._clients) as threads:
            runs = list(threads.map(lambda _: self._keep_calling(client, until_s), range(self._clients)))
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

    def _keep_calling(self, client: Client, until_s: float) -> tuple[list[float], int]:
        """The times that predictions took with their feedback, and the sum of the predictions' sizes."""
        latencies_s, answer_bytes = [], 0
        now_s = time.perf_counter()
        while now_s < until_s:
            answer = client.predicting(VECTOR).result()
            answer_bytes += framed_size([answer.SerializeToString()])
            check_learned(client.learning(answer.predictions[0].query_id, OUTPUT))
            finished_s = time.perf_counter()
            latencies_s.append(finished_s - now_s)
            now_s = finished_s
        return latencies_s, answer_bytes

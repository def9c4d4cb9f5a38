"""The generator of our own, `python -m bench.rig.python_load KIND URL BODY IN_FLIGHT SECONDS`: threads that each call.

Uses nothing but grpcio's public API and http.client, and prints a `bench.rig.load.Load`, but for the processor time, as
JSON. The first call that fails ends it.
"""

import http.client
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import grpc

from bench.rig.payloads import framed_size, unframed
from bench.rig.statistics import quantile

Unary: TypeAlias = "grpc.UnaryUnaryMultiCallable[bytes, bytes]"
Stream: TypeAlias = "grpc.StreamStreamMultiCallable[bytes, bytes]"
Call = Callable[[], int]
"""Calls once and returns the answer's size."""


def native_call(channel: grpc.Channel, path: str, messages: list[bytes]) -> Call:
    """A native call."""
    if len(messages) == 1:
        unary: Unary = channel.unary_unary(path)
        return lambda: framed_size([unary(messages[0])])
    stream: Stream = channel.stream_stream(path)
    return lambda: framed_size(list(stream(iter(messages))))


def rest_call(host: str, path: str, body: bytes) -> Call:
    """A REST call on a connection of its own."""
    connection = http.client.HTTPConnection(host)

    def call() -> int:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        if response.status != http.HTTPStatus.OK:
            raise ConnectionError(f"{response.status} {text.decode()}")
        return len(text)

    return call


def keep_calling(call: Call, until_s: float) -> tuple[list[float], int]:
    """Calls one after the other; returns their durations in seconds and the sum of the answers' sizes."""
    durations_s = []
    answer_bytes = 0
    now_s = time.perf_counter()
    while now_s < until_s:
        answer_bytes += call()
        finished_s = time.perf_counter()
        durations_s.append(finished_s - now_s)
        now_s = finished_s
    return durations_s, answer_bytes


def main() -> None:
    """Reads the arguments, calls, prints."""
    kind, url, body_file, in_flight, seconds = sys.argv[1:]
    host, path = urlsplit(url).netloc, urlsplit(url).path
    body, count = Path(body_file).read_bytes(), int(in_flight)
    with grpc.insecure_channel(host) as channel, ThreadPoolExecutor(count) as threads:
        if kind == "native":
            calls = [native_call(channel, path, list(unframed(body)))] * count
        else:
            calls = [rest_call(host, path, body) for _ in range(count)]
        started_s = time.perf_counter()
        until_s = started_s + float(seconds)
        results = list(threads.map(keep_calling, calls, [until_s] * count))
        elapsed_s = time.perf_counter() - started_s
    latencies_s = sorted(duration_s for durations_s, _ in results for duration_s in durations_s)
    report = {
        "calls": len(latencies_s),
        "calls_per_s": len(latencies_s) / elapsed_s,
        "p50_s": quantile(latencies_s, 0.5),
        "p99_s": quantile(latencies_s, 0.99),
        "answer_bytes": sum(answer_bytes for _, answer_bytes in results),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()

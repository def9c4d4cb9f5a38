"""Load generators: h2load for native gRPC, wrk for REST, and one of our own where they are not installed.

A generator keeps a number of calls in flight and is started anew for each run. Any call that fails makes the run fail.
What was answered is judged by its size, which a probe before and one after the run bracket, and by the query service's
own counters.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.errors import BenchmarkError
from bench.payloads import framed, json_request

_WRK_SCRIPT = Path(__file__).with_name("wrk.lua")
# A rate to size h2load's first run by; each run corrects it.
_FIRST_RATE = 20.0
_GRACE_S = 60.0
_SLOW = "slower than what it measures, so that the ratios are of its making"


@dataclass(frozen=True, slots=True)
class Load:
    """What a generator did in one run.

    Attributes:
        calls: answered calls.
        calls_per_s: their rate.
        p50_s, p99_s: quantiles of the time from a call to its answer.
        answer_bytes: the sum of the answers' sizes, counted as the probe of such a call counts.
        cpu_s: the generator's processor time.
    """

    calls: int
    calls_per_s: float
    p50_s: float
    p99_s: float
    answer_bytes: int
    cpu_s: float


class Generator(Protocol):
    """Puts one kind of call to one server.

    Attributes:
        uncounted_calls: how many calls at most a run may break off, which the server may answer all the same.
    """

    uncounted_calls: int

    def run(self, seconds: float) -> Load:
        """Calls for about so many seconds; BenchmarkError when a call fails."""


class H2Load:
    """Native calls by h2load.

    Args:
        url: of the method.
        messages: what each call sends.
        in_flight: how many calls each connection has in flight.
        scratch: a directory for files.
        connections: how many.
    """

    uncounted_calls = 0

    def __init__(
        self, url: str, messages: Sequence[bytes], in_flight: int, scratch: Path, connections: int = 1
    ) -> None:
        body = scratch / "body.bin"
        body.write_bytes(framed(messages))
        self._log = scratch / "h2load.log"
        self._in_flight = in_flight * connections
        self._rate = _FIRST_RATE
        self._command = [
            *("h2load", "-t1", "-c", str(connections), "-m", str(in_flight)),
            *("-d", str(body), "--log-file", str(self._log)),
            *("-H", "content-type: application/grpc", "-H", "te: trailers", url),
        ]

    def run(self, seconds: float) -> Load:
        """A number of calls that takes about `seconds` at the last run's rate."""
        calls = max(self._in_flight, int(self._rate * seconds))
        self._log.unlink(missing_ok=True)  # h2load appends
        output, cpu_s = _run([*self._command, "-n", str(calls)], {}, seconds)
        done = (
            f"requests: {calls} total, {calls} started, {calls} done, {calls} succeeded, 0 failed, 0 errored, 0 timeout"
        )
        if done not in output or f"status codes: {calls} 2xx," not in output:
            raise BenchmarkError(f"h2load had failures:\n{output}")
        self._rate = float(_found(r"^finished in .*, ([0-9.]+) req/s", output))
        latencies_s = sorted(int(line.split("\t")[2]) / 1e6 for line in self._log.read_text().splitlines())
        if len(latencies_s) != calls:
            raise BenchmarkError(f"h2load logged {len(latencies_s)} of {calls} calls")
        answer_bytes = int(_found(r"^traffic: .* \((\d+)\) data$", output))
        return Load(calls, self._rate, quantile(latencies_s, 0.5), quantile(latencies_s, 0.99), answer_bytes, cpu_s)


class Wrk:
    """REST calls by wrk, one at a time on each connection."""

    def __init__(self, url: str, connections: int) -> None:
        self.uncounted_calls = connections
        self._environment = {"BENCH_BODY": json_request().decode()}
        self._command = ["wrk", "-t1", "-c", str(connections), "-s", str(_WRK_SCRIPT), url]

    def run(self, seconds: float) -> Load:
        """Calls for `seconds`, rounded up to whole ones: wrk knows no others."""
        output, cpu_s = _run([*self._command, "-d", str(max(1, round(seconds)))], self._environment, seconds)
        result = json.loads(_found(r"^(\{.*\})$", output))
        if result["errors"] or not result["calls"]:
            raise BenchmarkError(f"wrk had failures:\n{output}")
        rate = result["calls"] / (result["micros"] / 1e6)
        p50_s, p99_s = result["p50_micros"] / 1e6, result["p99_micros"] / 1e6
        return Load(result["calls"], rate, p50_s, p99_s, result["bytes"], cpu_s)


class PythonLoad:
    """Calls by a process of threads in Python, `bench.python_load`: slow, and so the narrower place in most ratios."""

    uncounted_calls = 0

    def __init__(self, kind: str, url: str, messages: Sequence[bytes], in_flight: int, scratch: Path) -> None:
        """Takes what each call sends; `kind` is "native" or "rest", `scratch` a directory for files."""
        body = scratch / "body.bin"
        body.write_bytes(framed(messages))
        self._command = [sys.executable, "-m", "bench.python_load", kind, url, str(body), str(in_flight)]

    def run(self, seconds: float) -> Load:
        """Calls for `seconds`."""
        output, cpu_s = _run([*self._command, str(seconds)], {}, seconds)
        return Load(**json.loads(output), cpu_s=cpu_s)


def native(address: str, path: str, messages: Sequence[bytes], in_flight: int, scratch: Path) -> Generator:
    """Native calls of the method `path`, each sending `messages`, on one connection to host:port `address`."""
    url = f"http://{address}{path}"
    if shutil.which("h2load"):
        return H2Load(url, messages, in_flight, scratch)
    return PythonLoad("native", url, messages, in_flight, scratch)


def rest(address: str, application: str, connections: int, scratch: Path) -> Generator:
    """REST calls that ask `application` for one prediction, on connections to host:port `address`."""
    url = f"http://{address}/{application}/predict"
    if shutil.which("wrk"):
        return Wrk(url, connections)
    return PythonLoad("rest", url, [json_request()], connections, scratch)


def names() -> str:
    """Which generators are used, in words."""
    native_name = "h2load" if shutil.which("h2load") else f"Python threads on grpcio ({_SLOW})"
    rest_name = "wrk" if shutil.which("wrk") else f"Python threads on http.client ({_SLOW})"
    return f"{native_name} for native gRPC, {rest_name} for REST"


def quantile(ascending: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie."""
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]


def _run(command: Sequence[str], environment: Mapping[str, str], seconds: float) -> tuple[str, float]:
    """What a generator printed, and the processor time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        finished = subprocess.run(
            command,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=10 * seconds + _GRACE_S,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{command[0]} did not come to an end: some calls are never answered") from None
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if finished.returncode != 0:
        raise BenchmarkError(f"{command[0]} ended with {finished.returncode}:\n{finished.stdout}")
    return finished.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise BenchmarkError(f"the generator did not print {pattern}:\n{text}")
    return match[1]

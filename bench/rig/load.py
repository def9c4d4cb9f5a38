"""Load generators that keep calls in flight: h2load or, where it is not installed, one of our own.

A generator is started anew for each run. Any call that fails makes the run fail, but h2load sees no error of gRPC's. So
what was answered is judged by its size, which a probe before and one after the run bracket, and by the query service's
own counters.
"""

import json
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.rig.errors import BenchmarkError
from bench.rig.payloads import framed, json_request
from bench.rig.processes import REPOSITORY
from bench.rig.statistics import quantile

# A rate to size h2load's first run by; each run corrects it.
_FIRST_RATE = 20.0
_GRACE_S = 60.0
_GRPC = ("-H", "content-type: application/grpc", "-H", "te: trailers")
_REST = ("--h1", "-H", "content-type: application/json")
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
    """Puts one kind of call to one server."""

    def run(self, seconds: float) -> Load:
        """Calls for about so many seconds; BenchmarkError when a call fails."""


class H2Load:
    """Calls by h2load.

    Args:
        url: of what is called.
        body: what each call sends.
        options: the protocol's, as h2load takes them.
        in_flight: how many calls each connection has in flight.
        scratch: a directory for files.
        connections: how many.
    """

    def __init__(
        self, url: str, body: bytes, options: Sequence[str], in_flight: int, scratch: Path, connections: int = 1
    ) -> None:
        file = scratch / "body.bin"
        file.write_bytes(body)
        self._log = scratch / "h2load.log"
        self._in_flight = in_flight * connections
        self._rate = _FIRST_RATE
        self._command = [
            *("h2load", "-t1", "-c", str(connections), "-m", str(in_flight)),
            *("-d", str(file), "--log-file", str(self._log)),
            *(*options, url),
        ]

    def run(self, seconds: float) -> Load:
        """A number of calls that takes about `seconds` at the last run's rate."""
        calls = max(self._in_flight, int(self._rate * seconds))
        self._log.unlink(missing_ok=True)  # h2load appends
        output, cpu_s = _run([*self._command, "-n", str(calls)], seconds)
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


class PythonLoad:
    """Calls by threads in Python, in a process `bench.rig.python_load`: slow, and the narrower place in most ratios."""

    def __init__(self, kind: str, url: str, body: bytes, in_flight: int, scratch: Path) -> None:
        """Takes what each call sends; `kind` is "native" or "rest", `scratch` a directory for files."""
        file = scratch / "body.bin"
        file.write_bytes(body)
        self._command = [sys.executable, "-m", "bench.rig.python_load", kind, url, str(file), str(in_flight)]

    def run(self, seconds: float) -> Load:
        """Calls for `seconds`."""
        output, cpu_s = _run([*self._command, str(seconds)], seconds)
        return Load(**json.loads(output), cpu_s=cpu_s)


def native(
    address: str, path: str, messages: Sequence[bytes], in_flight: int, scratch: Path, connections: int = 1
) -> Generator:
    """Native calls of the method `path`, each sending `messages`, on connections to host:port `address`."""
    url, body = f"http://{address}{path}", framed(messages)
    if shutil.which("h2load"):
        return H2Load(url, body, _GRPC, in_flight, scratch, connections)
    return PythonLoad("native", url, body, in_flight * connections, scratch)


def rest(address: str, application: str, connections: int, scratch: Path) -> Generator:
    """REST calls that ask `application` for one prediction, on connections to host:port `address`."""
    url, body = f"http://{address}/{application}/predict", json_request()
    if shutil.which("h2load"):
        return H2Load(url, body, _REST, 1, scratch, connections)
    return PythonLoad("rest", url, body, connections, scratch)


def name() -> str:
    """Which generator is used, in words."""
    return "h2load" if shutil.which("h2load") else f"Python threads, {_SLOW}"


def _run(command: Sequence[str], seconds: float) -> tuple[str, float]:
    """What a generator printed, and the processor time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        finished = subprocess.run(
            command,
            cwd=REPOSITORY,
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

"""Anything may come in at any port: nothing crashes, hangs or grows, and whoever asks properly is served meanwhile."""

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from clipper_admin import ClipperConnection
from clipper_admin.deployers import python as python_deployer
from tests.chaos.cases import Ports
from tests.chaos.fuzzing import Fuzzing
from tests.chaos.scenes import resident_bytes
from tests.e2e.conftest import free_ports_manager
from tests.fixtures.clients import NativeClient, RestClient
from tests.fixtures.local_clusters import local, written_state
from tests.fixtures.processes import processes

_AT_ONCE = 12
_TOLD_OF = 10
_MANY = 50
_ASKED_EVERY_S = 0.05
_MOST_GROWTH_BYTES = 48 << 20
# The first so many fill caches and tables.
_WARM_UP_SHARE = 0.3
_INPUT_TYPES = ("doubles", "integers", "bytes", "strings")


def length(inputs: Any) -> list[str]:
    """A model that takes everything."""
    return [str(len(each)) for each in inputs]


@pytest.fixture(scope="module")
def cluster(clipper_home: Path) -> Iterator[ClipperConnection]:
    """An application of most types with a model, one that learns, and one for who asks properly."""
    connection = ClipperConnection(free_ports_manager("fuzzed"))
    try:
        connection.start_clipper()
        for input_type in _INPUT_TYPES:
            python_deployer.create_endpoint(
                connection, input_type, input_type, length, slo_micros=1_000_000, check=False
            )
        connection.register_application("learner", "doubles", "0", 1_000_000, selection_policy="exp3")
        connection.link_model_to_app("learner", "doubles")
        # With a model that no case names: one in many thousands is a proper request to delete a version.
        python_deployer.create_endpoint(
            connection, "proper", "doubles", length, "-1", slo_micros=5_000_000, check=False
        )
        yield connection
    finally:
        connection.stop_all(graceful=False)


@pytest.fixture
def ports(cluster: ClipperConnection) -> Iterator[Ports]:
    """All ports of the cluster that take requests."""
    state = written_state(cluster)
    addresses = {
        "query": state.addresses.query,
        "admin": state.addresses.admin,
        "query service": state.addresses.query_services[0],
        "management": state.addresses.management_service,
        "model container": f"127.0.0.1:{state.replicas()[0].ready_port}",
    }
    options = (("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1))
    channels = {name: grpc.insecure_channel(address, options) for name, address in addresses.items()}
    yield Ports(addresses, channels)
    for channel in channels.values():
        channel.close()


class Proper:
    """Clients that ask properly for as long as the context lasts, and what they were not given."""

    def __init__(self, address: str) -> None:
        self.failures: list[str] = []
        self.answered = 0
        self._address = address
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="proper client")

    def __enter__(self) -> "Proper":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        numbers = itertools.count(1_000_000)
        with RestClient(self._address, "proper") as rest, NativeClient(self._address, "proper") as native:
            while not self._over.wait(_ASKED_EVERY_S):
                for client in (rest, native):
                    answer = client.ask([next(numbers), 0.5])
                    if answer.error or answer.output != 2:
                        self.failures.append(f"{answer}")
                    self.answered += 1


def memory(connection: ClipperConnection) -> dict[str, int]:
    """What each process takes, in MiB."""
    running = processes(connection).items()
    return {name: resident_bytes(identity.pid) >> 20 for name, identity in running if identity is not None}


def logged_errors(connection: ClipperConnection) -> list[str]:
    """What services have logged as a mistake of their own."""
    logs = local(connection).directory.logs.glob("*.log*")
    lines = itertools.chain.from_iterable(log.read_text(errors="replace").splitlines() for log in logs)
    return [line for line in lines if '"level": "ERROR"' in line]


def failures(fuzzing: Fuzzing, ports: Ports, numbers: range) -> list[str]:
    """The cases that were not answered as they should be; the search ends when there are many."""
    found: list[str] = []

    def attempt(number: int) -> None:
        if len(found) < _MANY:
            case = fuzzing.case(number)
            if wrong := case.send(ports):
                found.append(f"case {number}: {wrong}\n    {case!r:.1500}")

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fuzzing") as pool:
        list(pool.map(attempt, numbers))
    return found


def test_nothing_that_comes_in_does_harm(
    cluster: ClipperConnection, ports: Ports, fuzz_seed: int, fuzz_cases: int, found: list[str]
) -> None:
    before, fuzzing = processes(cluster), Fuzzing(fuzz_seed)
    warm_up, began_s = int(fuzz_cases * _WARM_UP_SHARE), time.monotonic()

    with Proper(cluster.get_query_addr()) as proper:
        wrong = failures(fuzzing, ports, range(warm_up))
        warm = memory(cluster)
        wrong += failures(fuzzing, ports, range(warm_up, fuzz_cases))

    told = "\n".join(wrong[:_TOLD_OF])
    assert not wrong, f"of {fuzz_cases} cases of seed {fuzz_seed} {len(wrong)} were answered wrongly:\n{told}"
    assert proper.failures == []
    assert proper.answered
    assert processes(cluster) == before
    assert logged_errors(cluster) == []
    grown = {name: mib - warm[name] for name, mib in memory(cluster).items()}
    took_s, grew = time.monotonic() - began_s, ", ".join(f"{name} {mib}" for name, mib in grown.items())
    found.append(
        f"{fuzz_cases:,} cases of seed {fuzz_seed}, {_AT_ONCE} at a time, took {took_s:.0f} s: none was answered "
        f"wrongly, no process died, and {proper.answered:,} proper predictions meanwhile were right. MiB by which "
        f"processes had grown since the first {warm_up:,}: {grew}."
    )
    assert max(grown.values()) < _MOST_GROWTH_BYTES >> 20, grown

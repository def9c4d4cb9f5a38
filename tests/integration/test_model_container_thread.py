"""A model has one thread for its container's life, the main thread: what belongs to a thread works in every call."""

import asyncio
import contextlib
import contextvars
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import grpc
import pytest

from tests.fixtures.model_containers import PATIENCE_S, ContainerProcess, Stream, each_arrangement, request, save

__all__ = ["each_arrangement"]
pytestmark = pytest.mark.usefixtures("each_arrangement")


class _Database:
    def __init__(self) -> None:
        self.database = sqlite3.connect(":memory:")
        self.database.execute("create table numbers (number)")

    def warm_up(self) -> None:
        self.database.execute("insert into numbers values (0.5)")

    def predict(self, inputs: Any) -> list[Any]:
        ((number,),) = self.database.execute("select number from numbers").fetchall()
        return [number for _ in inputs]


class _ThreadLocal:
    def __init__(self) -> None:
        self.local = threading.local()
        self.local.number = 0.5

    def __reduce__(self) -> Any:
        return type(self), ()

    def predict(self, inputs: Any) -> list[Any]:
        return [self.local.number for _ in inputs]


class _Context:
    def warm_up(self) -> None:
        self.variable = contextvars.ContextVar[float]("number")
        self.variable.set(0.5)

    def predict(self, inputs: Any) -> list[Any]:
        return [self.variable.get() for _ in inputs]


class _Alarm:
    def predict(self, inputs: Any) -> list[Any]:
        def ring(*_: object) -> None:
            raise TimeoutError

        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        try:
            threading.Event().wait(PATIENCE_S)
        except TimeoutError:
            return [0.5 for _ in inputs]
        return ["too late" for _ in inputs]


class _CurrentLoop:
    def __init__(self) -> None:
        self.event = asyncio.Event()
        asyncio.get_event_loop().call_soon(self.event.set)

    async def _number(self) -> float:
        await self.event.wait()
        return 0.5

    def predict(self, inputs: Any) -> list[Any]:
        return [asyncio.get_event_loop().run_until_complete(self._number()) for _ in inputs]


class _Run:
    async def _number(self) -> float:
        await asyncio.sleep(0)
        return 0.5

    def predict(self, inputs: Any) -> list[Any]:
        return [asyncio.run(self._number()) for _ in inputs]


class _Coroutine:
    async def warm_up(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.found = self.loop.create_task(asyncio.sleep(0.01, 0.5))

    async def predict(self, inputs: Any) -> list[Any]:
        assert asyncio.get_running_loop() is self.loop
        return [await self.found for _ in inputs]


class _CoroutineOfEach(_Coroutine):
    async def _number(self) -> float:
        return await self.found

    def predict(self, inputs: Any) -> list[Any]:  # type: ignore[override]
        return [self._number() for _ in inputs]


class _Generator:
    def predict(self, inputs: Any) -> Iterator[Any]:
        for _ in inputs:
            yield 0.5


class _OneThread:
    def __init__(self) -> None:
        self.threads = {threading.get_ident()}

    def warm_up(self) -> None:
        self.threads.add(threading.get_ident())

    def predict(self, inputs: Any) -> list[Any]:
        self.threads.add(threading.get_ident())
        return [0.5 if self.threads == {threading.main_thread().ident} else len(self.threads) for _ in inputs]


@pytest.fixture(autouse=True)
def _pickled_by_value() -> Iterator[None]:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.mark.parametrize(
    "model",
    [
        _Database, _ThreadLocal, _Context, _Alarm, _CurrentLoop, _Run, _Coroutine, _CoroutineOfEach, _Generator,
        _OneThread,
    ],
)  # fmt: skip
def test_what_belongs_to_the_thread_on_which_it_was_made_works_in_every_call(tmp_path: Path, model: type) -> None:
    with ContainerProcess(save(tmp_path, model)) as container:
        address = container.address()
        # A query service that connects, one that comes again, and two at once.
        answers = [_outputs(address) for _ in range(2)]
        with ThreadPoolExecutor(2) as threads:
            answers += threads.map(_outputs, [address] * 2)
        assert answers == [["0.5", "0.5"]] * 4
        container.process.terminate()
        assert container.end() == (0, "")


def _outputs(address: str) -> list[str]:
    with Stream(address) as stream:
        (answer,) = stream.ask(request([[1.0], [2.0]]))
    assert not answer.failures
    return list(answer.outputs)


def test_streams_take_turns_however_many_batches_one_of_them_sends(tmp_path: Path) -> None:
    def count(inputs: Any, calls: list[int] = []) -> list[int]:  # noqa: B006 - counts over all calls
        threading.Event().wait(0.01)
        calls.append(1)
        return [len(calls)] * len(inputs)

    with ContainerProcess(save(tmp_path, count)) as container:
        address = container.address()
        with Stream(address) as busy, Stream(address) as calm:
            calm.ask(request([[1.0]]))
            busy.send(*(request([[1.0]]) for _ in range(100)))
            busy.receive()
            before = int(busy.receive().outputs[0])
            (answer,) = calm.ask(request([[1.0]]))
            assert int(answer.outputs[0]) <= before + 60
            for _ in range(98):
                busy.receive()


def test_sixty_four_streams_are_served_at_once(tmp_path: Path) -> None:
    with ContainerProcess(save(tmp_path, lambda inputs: inputs[:, 0])) as container:
        address = container.address()
        streams = [Stream(address) for _ in range(64)]
        for number, stream in enumerate(streams):
            stream.send(request([[float(number)]]))
        assert [list(stream.receive().outputs) for stream in streams] == [[f"{n}.0"] for n in range(64)]
        for stream in streams:
            stream.cancel()


# A process of its own has no streams.
_INTERRUPTED = {
    False: "the streams are broken off, for clients to open them again",
    True: "something that the model left behind raised an exception between two batches",
}


def test_an_alarm_that_a_model_left_behind_costs_it_streams_and_not_its_container(tmp_path: Path) -> None:
    def leave_behind(inputs: Any) -> list[str]:
        def ring(*_: object) -> None:
            raise TimeoutError("left behind")

        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, inputs[0][0])
        return ["fine"] * len(inputs)

    with ContainerProcess(save(tmp_path, leave_behind)) as container:
        address = container.address()
        stream = Stream(address)
        stream.ask(request([[0.5]]))
        line = container.logged(_INTERRUPTED[bool(container.model_python)])
        assert "left behind" in line["exception"]
        stream.cancel()
        with Stream(address) as again:
            assert list(again.ask(request([[0.0]]))[0].outputs) == ["fine"]
        container.process.terminate()
        assert container.end()[0] == 0


@pytest.mark.parametrize("is_waiting", [True, False], ids=["between calls", "in a call"])
def test_a_model_that_handles_signals_itself_for_a_while_is_drained_all_the_same(
    tmp_path: Path, is_waiting: bool
) -> None:
    def handle_signals(inputs: Any) -> list[str]:
        loop = asyncio.new_event_loop()
        loop.add_signal_handler(signal.SIGUSR1, print)
        if not inputs[0][0]:
            print("in a call", flush=True)  # noqa: T201
            threading.Event().wait(0.5)
        loop.close()
        return ["fine"] * len(inputs)

    with ContainerProcess(save(tmp_path, handle_signals)) as container:
        with Stream(container.address()) as stream:
            stream.send(request([[float(is_waiting)]]))
            if is_waiting:
                stream.receive()
            else:
                assert container.process.stdout is not None
                container.process.stdout.readline()
            container.process.terminate()
            container.logged("draining")
            if not is_waiting:
                assert list(stream.receive().outputs) == ["fine"]
        assert container.end()[0] == 0


def test_what_a_models_forks_forked_holds_no_connection_of_a_container_that_is_killed(tmp_path: Path) -> None:
    def fork(inputs: Any) -> list[int]:
        heard, told = os.pipe()
        if os.fork() == 0:
            if os.fork() == 0:
                os.write(told, str(os.getpid()).encode())
            signal.pause()
        return [int(os.read(heard, 10))] * len(inputs)

    with ContainerProcess(save(tmp_path, fork)) as container:
        stream = Stream(container.address())
        (answer,) = stream.ask(request([[1.0]]))
        try:
            container.process.kill()
            with pytest.raises(grpc.RpcError) as broken:
                stream.receive()
            assert broken.value.code() is grpc.StatusCode.UNAVAILABLE
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(answer.outputs[0]), signal.SIGKILL)
            stream.cancel()

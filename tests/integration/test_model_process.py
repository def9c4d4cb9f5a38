"""A model in a process of its own: nobody outlives the other, and whoever serves knows."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

from clipper_admin.hosts.identity import ProcessIdentity
from tests.fixtures.model_containers import PATIENCE_S, ContainerProcess, Stream, request, save


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers have their models beside them."""
    monkeypatch.setattr(ContainerProcess, "model_python", sys.executable)


def own_pid(inputs: Any) -> list[int]:
    return [os.getpid() for _ in inputs]


def model_process(stream: Stream) -> ProcessIdentity:
    (answer,) = stream.ask(request([[1.0]]))
    identity = ProcessIdentity.of(int(answer.outputs[0]))
    assert identity is not None
    return identity


def test_a_model_process_that_is_killed_takes_its_container_along(tmp_path: Path) -> None:
    with ContainerProcess(save(tmp_path, own_pid)) as container:
        stream = Stream(container.address())
        model = model_process(stream)
        assert model.pid != container.process.pid

        model.send(signal.SIGKILL)

        assert container.end()[0] == 128 + signal.SIGKILL
        stream.cancel()
        assert container.log[-1]["message"] == "the model's process ended with 137, and the container ends, too"


def test_a_model_process_that_dies_of_a_batch_breaks_the_stream_for_others_to_try(tmp_path: Path) -> None:
    def die(inputs: Any) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    with ContainerProcess(save(tmp_path, die)) as container:
        stream = Stream(container.address())
        stream.send(request([[1.0]]))

        with pytest.raises(grpc.RpcError) as broken:
            stream.receive()

        assert broken.value.code() is grpc.StatusCode.UNAVAILABLE
        assert container.end()[0] == 128 + signal.SIGSEGV
        stream.cancel()


def test_a_container_that_is_killed_takes_its_models_process_along(tmp_path: Path) -> None:
    with ContainerProcess(save(tmp_path, own_pid)) as container:
        stream = Stream(container.address())
        model = model_process(stream)

        container.process.kill()

        assert model.wait_until_gone(PATIENCE_S)
        stream.cancel()


def test_a_model_process_that_is_stopped_for_a_while_goes_on(tmp_path: Path) -> None:
    with ContainerProcess(save(tmp_path, own_pid)) as container:
        with Stream(container.address()) as stream:
            model = model_process(stream)
            model.send(signal.SIGSTOP)
            stream.send(request([[1.0]]))
            model.send(signal.SIGCONT)
            assert list(stream.receive().outputs) == [str(model.pid)]
        container.process.terminate()
        assert container.end() == (0, "")


def test_what_a_model_starts_can_be_ended_as_ever(tmp_path: Path) -> None:
    def end_another(inputs: Any) -> list[int]:
        import subprocess

        sleeper = subprocess.Popen(["sleep", "60"])
        sleeper.terminate()
        return [sleeper.wait() for _ in inputs]

    with ContainerProcess(save(tmp_path, end_another)) as container, Stream(container.address()) as stream:
        assert list(stream.ask(request([[1.0]]))[0].outputs) == [str(-signal.SIGTERM)]


def test_a_signal_to_all_of_a_container_is_a_drain(tmp_path: Path) -> None:
    with ContainerProcess(save(tmp_path, own_pid)) as container:
        with Stream(container.address()) as stream:
            model = model_process(stream)
            model.send(signal.SIGTERM)
            container.process.send_signal(signal.SIGTERM)
            assert model_process(stream).pid == model.pid
        assert container.end() == (0, "")


def test_an_interpreter_that_is_none_ends_the_container_with_2(tmp_path: Path) -> None:
    with ContainerProcess(save(tmp_path, own_pid), model_python="/no/python") as container:
        assert container.end() == (2, "")
        assert "CLIPPER_MODEL_PYTHON must be an interpreter: '/no/python'" in container.log[-1]["message"]

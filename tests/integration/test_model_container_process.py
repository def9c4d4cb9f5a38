"""The container as the process that a cluster starts and stops."""

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.fixtures.lease_keepers import LeaseKeeper
from tests.fixtures.model_containers import PATIENCE_S, ContainerProcess, Stream, each_arrangement, request, save

__all__ = ["each_arrangement"]
pytestmark = pytest.mark.usefixtures("each_arrangement")


@pytest.mark.parametrize(
    ("input_type", "function", "rows", "outputs"),
    [
        ("bytes", lambda inputs: [bytes(each.tobytes()) for each in inputs], [[104, 105]], ["hi"]),
        ("ints", lambda inputs: [int(each.sum()) for each in inputs], [[1, 2], [3]], ["3", "3"]),
        ("floats", lambda inputs: inputs[:, 0], [[0.5], [1.5]], ["0.5", "1.5"]),
        ("doubles", lambda inputs: [{"mean": each.mean()} for each in inputs], [[1.0, 2.0]], ['{"mean":1.5}']),
        ("strings", lambda inputs: [each.upper() for each in inputs], ["a", "ä"], ["A", "Ä"]),
    ],
)
def test_a_pickled_function_is_served(
    tmp_path: Path, input_type: str, function: Callable[..., Any], rows: list[Any], outputs: list[str]
) -> None:
    packed_type = {"ints": "integers"}.get(input_type, input_type)
    with ContainerProcess(save(tmp_path, function), input_type=input_type) as container:
        with Stream(container.address()) as stream:
            (answer,) = stream.ask(request(rows, packed_type))
        assert (list(answer.outputs), list(answer.failures)) == (outputs, [])
        container.process.terminate()
        assert container.end() == (0, "")


def test_a_function_of_named_inputs_is_served_and_a_row_of_another_length_is_refused_alone(tmp_path: Path) -> None:
    (tmp_path / "func.input_names.json").write_text('["age", "income"]')
    directory = save(tmp_path, lambda people: list(people["income"] - people["age"]))
    with ContainerProcess(directory) as container, Stream(container.address()) as stream:
        (answer,) = stream.ask(request([[1.0, 3.0], [1.0], [2.0, 5.0]]))
    assert list(answer.outputs) == ["2.0", "", "3.0"]
    (failure,) = answer.failures
    assert "The model takes inputs of 2 numbers (age, income), not of 1" in failure.message


def test_ready_is_logged_with_the_model_and_its_address(tmp_path: Path) -> None:
    directory = save(tmp_path, len)
    with ContainerProcess(directory, advertised_host="localhost", model_version="7") as container:
        line = container.logged("ready")
    assert (line["model"], line["version"], line["level"]) == ("m", "7", "INFO")
    assert line["address"].startswith("localhost:")
    assert not line["address"].endswith(":0")


def test_what_the_model_prints_is_printed_at_once_and_untouched(tmp_path: Path) -> None:
    def function(inputs: Any) -> list[str]:
        print("seen:", len(inputs))  # noqa: T201
        return ["x"] * len(inputs)

    with ContainerProcess(save(tmp_path, function)) as container, Stream(container.address()) as stream:
        stream.ask(request([[1.0], [2.0]]))
        assert container.process.stdout is not None
        assert container.process.stdout.readline() == "seen: 2\n"


def test_a_model_error_is_logged_with_its_traceback(tmp_path: Path) -> None:
    def function(inputs: Any) -> list[str]:
        raise ValueError(f"{len(inputs)} is too many")

    with ContainerProcess(save(tmp_path, function)) as container, Stream(container.address()) as stream:
        stream.ask(request([[1.0]]))
        line = container.logged("the model raised an exception")
    assert "ValueError: 1 is too many" in line["exception"]
    assert "Traceback" in line["exception"]


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"model_name": ""}, "The environment variable CLIPPER_MODEL_NAME must be set"),
        ({"input_type": "images"}, "Invalid input type 'images'"),
        ({"drain_grace_s": "soon"}, "The environment variable CLIPPER_DRAIN_GRACE_S must be of type float"),
        ({"predict_timeout_s": "-1"}, "CLIPPER_PREDICT_TIMEOUT_S must be a number of seconds, or 0 for no limit"),
        ({"load_timeout_s": "-1"}, "CLIPPER_LOAD_TIMEOUT_S must be a number of seconds, or 0 for no limit"),
        ({"address": "192.0.2.1:0"}, "The address '192.0.2.1:0' cannot be bound"),
    ],
)
def test_unusable_settings_end_it_with_2(tmp_path: Path, variables: dict[str, str], sentence: str) -> None:
    with ContainerProcess(save(tmp_path, len), **variables) as container:
        assert container.end() == (2, "")
        assert container.log[-1]["message"].startswith(sentence)


@pytest.mark.parametrize(
    ("packages", "advice"),
    [
        (None, "Deploy it with pkgs_to_install=[...], naming the package that brings the module"),
        ({"absent_module": "absent-package==1.2"}, "Deploy it with pkgs_to_install=['absent-package==1.2']"),
        ({"numpy": "numpy==2.3.5"}, "If it is a module of your own, import it where the function is defined"),
    ],
    ids=["nothing known", "a package's", "nobody's"],
)
def test_a_missing_module_ends_it_with_3_and_what_to_do(
    tmp_path: Path, packages: dict[str, str] | None, advice: str
) -> None:
    (tmp_path / "func.pkl").write_bytes(b"cabsent_module\nfunction\n.")
    if packages is not None:
        (tmp_path / "func.packages.json").write_text(json.dumps(packages))
    with ContainerProcess(tmp_path) as container:
        assert container.end() == (3, "")
        assert advice in container.log[-1]["message"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "does not exist"),
        (b"", "failed while it was loaded: EOFError"),
        (b"I1\n.", "must hold a function"),
        (b"cbuiltins\nexit\n(I0\ntR.", "failed while it was loaded: SystemExit: 0"),
    ],
    ids=["no directory", "empty file", "a number", "exit"],
)
def test_a_model_that_cannot_be_loaded_ends_it_with_4(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    directory = tmp_path / "model"
    if content is not None:
        directory.mkdir()
        (directory / "func.pkl").write_bytes(content)
    with ContainerProcess(directory) as container:
        assert container.end() == (4, "")
        assert sentence in container.log[-1]["message"]


def test_a_signal_ends_it_at_once_while_the_model_loads(tmp_path: Path) -> None:
    loading = tmp_path / "loading"
    os.mkfifo(loading)
    script = f"open({str(loading)!r}, 'w').close(); import threading; threading.Event().wait()"
    (tmp_path / "func.pkl").write_bytes(b"cbuiltins\nexec\n(V" + script.encode() + b"\ntR.")
    with ContainerProcess(tmp_path) as container:
        loading.read_text()
        container.process.terminate()
        assert container.end()[0] == 128 + signal.SIGTERM


def test_sigterm_under_load_releases_the_lease_first_and_loses_no_batch(tmp_path: Path) -> None:
    keeper = LeaseKeeper()
    sent, answered = 0, 0
    model, grace_s = save(tmp_path, lambda inputs: inputs[:, 0]), str(PATIENCE_S)
    with ContainerProcess(model, management_address=keeper.address, drain_grace_s=grace_s) as container:
        address = container.address()
        assert keeper.opened.get(timeout=PATIENCE_S).address == address
        with Stream(address) as stream:
            while keeper.released.empty() or answered < 500:
                stream.send(*(request([[1.0]], batch_id=sent + i) for i in range(4)))
                sent += 4
                for _ in range(4):
                    assert stream.receive().batch_id == answered
                    answered += 1
                if answered == 200:
                    container.process.terminate()
            stream.send(*(request([[1.0]], batch_id=sent + i) for i in range(100)))
            assert [stream.receive().batch_id for _ in range(100)] == list(range(sent, sent + 100))
        assert container.end() == (0, "")
        assert "streams were cut off" not in str(container.log)
    keeper.go()


def test_a_draining_container_is_unhealthy_but_serves(tmp_path: Path) -> None:
    keeper = LeaseKeeper()
    with ContainerProcess(save(tmp_path, lambda inputs: inputs[:, 0]), management_address=keeper.address) as container:
        address = container.address()
        keeper.opened.get(timeout=PATIENCE_S)
        with Stream(address) as stream, grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
            stream.ask(request([[1.0]]))
            watch = health_pb2_grpc.HealthStub(channel).Watch(  # type: ignore[attr-defined]
                health_pb2.HealthCheckRequest(), timeout=PATIENCE_S
            )
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            container.process.terminate()
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            keeper.released.get_nowait()
            assert list(stream.ask(request([[2.0]]))[0].outputs) == ["2.0"]
        assert container.end() == (0, "")
    keeper.go()


def test_a_model_that_never_returns_is_cut_off_after_the_grace(tmp_path: Path) -> None:
    def function(_inputs: Any) -> None:
        print("entered")  # noqa: T201
        threading.Event().wait()

    with ContainerProcess(save(tmp_path, function), drain_grace_s="0.2") as container:
        stream = Stream(container.address())
        stream.send(request([[1.0]]))
        assert container.process.stdout is not None
        assert container.process.stdout.readline() == "entered\n"
        container.process.send_signal(signal.SIGINT)
        assert container.end() == (0, "")
        assert container.log[-1]["message"] == "streams were cut off after 0.2 s"
        stream.cancel()


def test_two_containers_on_one_port_do_not_share_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with ContainerProcess(save(tmp_path, len), address=address) as container:
            assert container.end() == (2, "")


def _hanging_on(poison: float) -> Callable[[Any], list[str]]:
    def loop_for_ever(inputs: Any) -> list[str]:
        while (inputs[:, 0] == poison).any():
            threading.Event().wait(0.01)
        return [str(row[0]) for row in inputs]

    return loop_for_ever


def test_a_model_that_never_returns_ends_its_container_with_5_and_tells_where_and_with_what(tmp_path: Path) -> None:
    keeper = LeaseKeeper()
    directory = save(tmp_path, _hanging_on(13.0))
    with ContainerProcess(directory, management_address=keeper.address, predict_timeout_s="0.5") as container:
        address = container.address()
        keeper.opened.get(timeout=PATIENCE_S)
        stream = Stream(address)
        assert list(stream.ask(request([[1.0]]))[0].outputs) == ["1.0"]
        stream.send(request([[12.0, 0.25], [13.0, 0.25]]))
        with pytest.raises(grpc.RpcError) as broken:
            stream.receive()
        assert broken.value.code() is grpc.StatusCode.UNAVAILABLE
        assert container.end()[0] == 5
        stream.cancel()
        (line,) = [line for line in container.log if line["level"] == "CRITICAL"]
        assert line["first_inputs"] == ["[12.0, 0.25]", "[13.0, 0.25]"]
        assert "loop_for_ever" in line["stack"]
        assert "CLIPPER_PREDICT_TIMEOUT_S" in line["message"]
        keeper.released.get_nowait()
    keeper.go()


def test_a_model_that_is_not_loaded_in_time_ends_its_container_with_6_and_tells_where(tmp_path: Path) -> None:
    class Endless:
        def warm_up(self) -> None:
            threading.Event().wait()

        def predict(self, inputs: Any) -> Any:
            return inputs

    with ContainerProcess(save(tmp_path, Endless), load_timeout_s="0.5") as container:
        assert container.end()[0] == 6
        (line,) = [line for line in container.log if line["level"] == "CRITICAL"]
    assert "warm_up" in line["stack"]
    assert "CLIPPER_LOAD_TIMEOUT_S" in line["message"]


def test_a_model_that_is_loaded_in_time_is_not_ended_for_it(tmp_path: Path) -> None:
    with ContainerProcess(save(tmp_path, len), load_timeout_s="5") as container:
        container.address()
        with pytest.raises(subprocess.TimeoutExpired):
            container.process.wait(5.5)


def test_a_model_that_keeps_the_interpreter_ends_its_container_too(tmp_path: Path) -> None:
    def keep_it(_inputs: Any) -> int:
        return sum(range(1 << 60))

    with ContainerProcess(save(tmp_path, keep_it), predict_timeout_s="0.5") as container:
        stream = Stream(container.address())
        stream.send(request([[1.0]]))
        assert container.end()[0] == 1
        stream.cancel()


@pytest.mark.parametrize("limit_s", ["0.2", "0"], ids=["somebody waits", "no limit"])
def test_a_model_that_takes_its_time_is_left_alone(tmp_path: Path, limit_s: str) -> None:
    def take_a_while(inputs: Any) -> list[str]:
        threading.Event().wait(1.0)
        return ["done"] * len(inputs)

    patient = request([[1.0]])
    patient.timeout_micros = 0 if limit_s == "0" else round(PATIENCE_S * 1e6)
    with ContainerProcess(save(tmp_path, take_a_while), predict_timeout_s=limit_s) as container:
        with Stream(container.address()) as stream:
            assert list(stream.ask(patient)[0].outputs) == ["done"]
        container.process.terminate()
        assert container.end()[0] == 0


def test_many_calls_that_together_take_longer_than_the_limit_are_no_hang(tmp_path: Path) -> None:
    def take_a_little(inputs: Any) -> list[str]:
        threading.Event().wait(0.1)
        return ["done"] * len(inputs)

    with ContainerProcess(save(tmp_path, take_a_little), predict_timeout_s="1.5") as container:
        with Stream(container.address()) as stream:
            for _ in range(5):
                stream.ask(*(request([[1.0]], batch_id=number) for number in range(4)))
        container.process.terminate()
        assert container.end()[0] == 0


def test_a_process_that_was_stopped_for_longer_than_the_limit_goes_on(tmp_path: Path) -> None:
    def take_a_while(inputs: Any) -> list[str]:
        threading.Event().wait(0.5)
        return ["done"] * len(inputs)

    with ContainerProcess(save(tmp_path, take_a_while), predict_timeout_s="2") as container:
        with Stream(container.address()) as stream:
            stream.send(request([[1.0]]))
            container.process.send_signal(signal.SIGSTOP)
            threading.Event().wait(3.0)
            container.process.send_signal(signal.SIGCONT)
            assert list(stream.receive().outputs) == ["done"]
        container.process.terminate()
        assert container.end()[0] == 0

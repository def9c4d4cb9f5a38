"""A latency objective holds under any load: twice what a model can do, a flood by others, a thousand equal queries."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest
from clipper.v1 import query_service_pb2

from clipper_admin import ClipperConnection
from clipper_admin.deployers import python as python_deployer
from tests.e2e.conftest import free_ports_manager
from tests.fixtures.clients import Answer, NativeClient, doubles, from_prediction
from tests.fixtures.stalls import StallMeter

pytestmark = pytest.mark.alone

SLO_S = 0.2
OVERDUE_S = 0.020
INPUT_S = 0.002
CAPACITY_PER_S = 1 / INPUT_S


@pytest.fixture(scope="module")
def single(clipper_home: object) -> Iterator[ClipperConnection]:
    """A cluster whose only query service sees all that is asked."""
    connection = ClipperConnection(free_ports_manager("objectives"))
    try:
        connection.start_clipper()
        yield connection
    finally:
        connection.stop_all(graceful=False)


def waiting(inputs: Sequence[Any]) -> list[str]:
    """A model that waits for each input, as one on an accelerator does."""
    time.sleep(INPUT_S * len(inputs))
    return ["done"] * len(inputs)


def counting(seconds: float) -> Callable[[Sequence[Any]], list[str]]:
    """A model that tells how many inputs it has been given."""
    given: list[object] = []

    def count(inputs: Sequence[Any]) -> list[str]:
        given.extend(inputs)
        time.sleep(seconds)
        return [str(len(given))] * len(inputs)

    return count


def pipelined(
    address: str, application: str, inputs: Sequence[Sequence[float]], interval_s: float, together: int = 1
) -> list[Answer]:
    """The answers to inputs sent down one stream, so many in a request, one request an interval whatever comes back."""
    sent_s: list[float] = []

    def messages() -> Iterator[query_service_pb2.PredictStreamRequest]:
        start_s = time.monotonic()
        for number, start in enumerate(range(0, len(inputs), together)):
            time.sleep(max(0.0, start_s + number * interval_s - time.monotonic()))
            request = doubles(application, inputs[start : start + together])
            sent_s.append(time.monotonic())
            yield query_service_pb2.PredictStreamRequest(request_id=number, request=request)

    answers: list[Answer] = []
    with NativeClient(address, application) as client:
        for response in client.stub.PredictStream(messages(), timeout=30):
            asked_s, answered_s = sent_s[response.request_id], time.monotonic()
            answers.extend(from_prediction(asked_s, answered_s, each) for each in response.response.predictions)
    assert len(answers) == len(inputs)
    return answers


def predicted(answers: Iterable[Answer]) -> int:
    return sum(answer.is_prediction for answer in answers)


def test_twice_the_load_that_a_model_can_take_is_answered_in_time_and_most_of_what_it_can_do_is_done(
    single: ClipperConnection,
) -> None:
    python_deployer.create_endpoint(
        single, "overloaded", "doubles", waiting, slo_micros=round(SLO_S * 1e6), check=False
    )
    seconds, interval_s = 3.0, INPUT_S / 2
    inputs = [[number] for number in range(int(seconds / interval_s))]

    with StallMeter(single) as meter:
        answers = pipelined(single.get_query_addr(), "overloaded", inputs, interval_s)

    assert not any(answer.error for answer in answers)
    assert meter.late(answers, SLO_S + OVERDUE_S) == []
    # A machine that is busy with other things takes its part of the predictions.
    assert predicted(answers) >= 0.6 * CAPACITY_PER_S * seconds


def test_a_flood_by_one_application_is_hardly_felt_by_another_on_the_same_model(single: ClipperConnection) -> None:
    python_deployer.create_endpoint(single, "flooding", "doubles", waiting, slo_micros=round(SLO_S * 1e6), check=False)
    single.register_application("quiet", "doubles", "none", round(SLO_S * 1e6))
    single.link_model_to_app("quiet", "flooding")
    address, seconds = single.get_query_addr(), 3.0
    flood = [[number] for number in range(int(3 * CAPACITY_PER_S * seconds))]
    quiet = [[-number] for number in range(1, int(CAPACITY_PER_S / 5 * seconds))]
    flooded: list[Answer] = []

    with StallMeter(single) as meter:
        flooding = threading.Thread(
            target=lambda: flooded.extend(pipelined(address, "flooding", flood, 10 * INPUT_S / 3, together=10)),
            name="flood",
        )
        flooding.start()
        answers = pipelined(address, "quiet", quiet, 5 * INPUT_S)
        flooding.join()

    assert meter.late([*answers, *flooded], SLO_S + OVERDUE_S) == []
    assert predicted(answers) >= 0.95 * len(answers)
    assert predicted(flooded) < len(flooded) / 2


def test_a_thousand_identical_queries_at_once_reach_the_model_once(single: ClipperConnection) -> None:
    python_deployer.create_endpoint(single, "identical", "doubles", counting(0.5), slo_micros=10_000_000, check=False)
    address = single.get_query_addr()

    answers = pipelined(address, "identical", [[1.0]] * 1000, 0.0)
    [other] = pipelined(address, "identical", [[2.0]], 0.0)

    assert {answer.output for answer in answers} == {1}
    assert other.output == 2

"""Choosing and learning while Redis is away, and after a query service died: nothing waits, nothing is lost."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from services.common.names import QUERY_SERVICE
from services.common.records import Application
from services.common.selection_records import QueryKey
from tests.fixtures.choosing import ALREADY_LEARNED, LEARNED, Choosing, models
from tests.fixtures.journals import run_with_store
from tests.fixtures.query_services import NOT_SERVING, Registry, refusal, request, wait_until_predicted
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.waiting import wait_until

# Redis is given this long to answer, and the machine may have other things to do.
_WAIT_S = 0.02
_SLACK_S = 0.04


@pytest.fixture
def application(redis_server: RedisServer) -> Iterator[Application]:
    """The application "app" on the models a and b."""
    registry = Registry(redis_server)
    with models(registry, {"a": "1", "b": "2"}):
        yield registry.add_choice("app", "exp3", "a", "b", use_cache=False)


@pytest.fixture
def service(application: Application, redis_server: RedisServer, tmp_path: Path) -> Iterator[Choosing]:
    """A query service that predicts."""
    with Choosing(redis_server, tmp_path, "app") as service:
        service.wait()
        yield service


def _is_recorded(redis_server: RedisServer, application: Application, query_id: int) -> bool:
    key = QueryKey(application.name, application.registration, query_id)
    return run_with_store(redis_server, lambda store: store.join([key])) != [None]


def _latency_s(service: Choosing, context: str) -> float:
    started_s = time.perf_counter()
    (prediction,) = service.predict("app", 1.0, context=context)
    assert not prediction.is_default
    return time.perf_counter() - started_s


@pytest.mark.alone
@pytest.mark.parametrize("is_frozen", [True, False], ids=["silent", "gone"])
def test_predictions_go_on_without_redis(service: Choosing, redis_server: RedisServer, is_frozen: bool) -> None:
    service.tell("app", *({"number": 1.0, "context": "ann", "label": "1"} for _ in range(30)))
    if is_frozen:
        redis_server.freeze()
    else:
        redis_server.kill()
    first_s = [_latency_s(service, context) for context in ("ann", "bob", "carol")]
    assert sorted(first_s)[1] < _WAIT_S + _SLACK_S
    later_s = sorted(_latency_s(service, context) for context in ("ann", "bob", "carol") for _ in range(10))
    assert later_s[15] < _SLACK_S
    (told,) = service.predict("app", 1.0, context="ann", explain=True)
    assert told.selection.arms[0].weight > 0.8
    if is_frozen:
        redis_server.thaw()


def test_feedback_without_redis_is_refused_and_learned_when_it_is_sent_again(
    service: Choosing, redis_server: RedisServer
) -> None:
    (prediction,) = service.predict("app", 1.0)
    feedback = {"query_id": prediction.query_id, "label": "1"}
    redis_server.kill()
    refused = refusal(lambda: service.tell("app", feedback))
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    redis_server.start()

    def is_learned() -> bool:
        try:
            return service.tell("app", feedback) in ([LEARNED], [ALREADY_LEARNED])
        except grpc.RpcError:
            return False

    wait_until(is_learned)


def test_feedback_on_a_prediction_of_a_service_that_died_is_learned_by_another(
    service: Choosing, application: Application, redis_server: RedisServer, tmp_path: Path
) -> None:
    (prediction,) = service.predict("app", 1.0, context="ann")
    wait_until(lambda: _is_recorded(redis_server, application, prediction.query_id))
    service.process.kill()
    with Choosing(redis_server, tmp_path, "app") as another:
        another.wait()
        assert another.tell("app", {"query_id": prediction.query_id, "label": "1"}) == [LEARNED]


@pytest.mark.alone
def test_what_a_service_has_in_hand_when_it_drains_is_recorded(
    service: Choosing, redis_server: RedisServer, tmp_path: Path
) -> None:
    (prediction,) = service.predict("app", 1.0, context="ann")
    service.process.terminate()
    assert service.end() == 0
    with Choosing(redis_server, tmp_path, "app") as another:
        another.wait()
        assert another.tell("app", {"query_id": prediction.query_id, "label": "1"}) == [LEARNED]


def test_while_a_policy_is_imported_others_are_learned_about_and_query_ids_given(
    application: Application, redis_server: RedisServer, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    variables = {"policy_prefixes": "tests.fixtures.gated_policy", "gate": str(gate)}
    with Choosing(redis_server, tmp_path, "app", **variables) as service, Choosing(redis_server, tmp_path) as another:
        service.wait()
        Registry(redis_server).add_choice("slow", "tests.fixtures.gated_policy:Slow", "a")
        wait_until(lambda: _is_behind(service))
        another.expected_errors.add("quarantined: it is left out until it is registered again or deleted")
        wait_until_predicted(another, request("app", [[0.0]]))
        for asked, told in ((service, service), (another, service), (service, another)):
            (prediction,) = asked.predict("app", 1.0, context="ann")
            assert told.tell("app", {"query_id": prediction.query_id, "label": "1"}) == [LEARNED]
        gate.write_text("go on")


def _is_behind(service: Choosing) -> bool:
    return service.health(QUERY_SERVICE) == NOT_SERVING

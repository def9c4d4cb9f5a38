"""Predictions that await feedback have a budget, and what is forgotten for it is told."""

from pathlib import Path

from tests.fixtures.choosing import LEARNED, UNKNOWN_QUERY, Choosing, models
from tests.fixtures.query_services import Registry
from tests.fixtures.redis_server import RedisServer
from tests.fixtures.waiting import wait_until

WARNING = "predictions are forgotten before their feedback window is over: there are too many of them"


def test_the_newest_of_an_application_await_feedback_and_the_others_are_counted(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    registry = Registry(redis_server)
    with models(registry, {"a": "1", "b": "2"}):
        registry.add_choice("app", "ucb1", "a", "b", use_cache=False)
        with (
            Choosing(redis_server, tmp_path, "app", awaited_predictions="10") as service,
            Choosing(redis_server, tmp_path, "app") as other,
        ):
            other.wait()
            predictions = service.predict("app", *range(30))

            def forgotten() -> int:
                return int(service.metrics()["app:app:num_forgotten_predictions"]["count"])

            # With the one that the other service was asked.
            wait_until(lambda: forgotten() >= 20)
            ids = [prediction.query_id for prediction in predictions]
            # Another service has of them what Redis has.
            assert other.tell("app", {"query_id": ids[0], "label": "1"}) == [UNKNOWN_QUERY]
            assert other.tell("app", {"query_id": ids[-1], "label": "1"}) == [LEARNED]
            told = [line for line in service.log() if line["message"] == WARNING]
            assert [(line["application"], line["setting"]) for line in told] == [("app", "CLIPPER_AWAITED_PREDICTIONS")]

"""Where the time of a prediction went."""

from services.query.api.timing import timing
from services.query.engine.requests import Spent


def test_seconds_become_whole_microseconds() -> None:
    spent = Spent(cached=False, queue_s=0.0000016, batch_size=7, model_s=1.5, network_s=0.25)
    assert timing(spent) == {
        "cached": False,
        "queue_micros": 2,
        "batch_size": 7,
        "model_micros": 1_500_000,
        "network_micros": 250_000,
    }


def test_a_container_that_counts_more_than_the_time_there_was_makes_no_negative_time() -> None:
    spent = Spent(cached=False, queue_s=-1e-9, batch_size=1, model_s=0.2, network_s=-0.1)
    assert timing(spent)["queue_micros"] == 0
    assert timing(spent)["network_micros"] == 0

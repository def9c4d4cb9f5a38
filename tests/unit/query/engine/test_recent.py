"""Which predictions feedback finds without asking the store."""

from services.query.engine.recent import RecentPredictions
from tests.fixtures.journals import prediction


def test_a_prediction_is_found_for_five_seconds() -> None:
    recent = RecentPredictions()
    made = prediction(3)
    recent.add(made, 10.0)
    assert recent.find(3, 15.0) == (made, 10.0)
    assert recent.find(3, 15.01) is None
    assert recent.find(4, 10.0) is None


def test_of_many_the_newest_five_thousand_at_least_and_ten_thousand_at_most_are_found() -> None:
    recent = RecentPredictions()
    for number in range(50_000):
        recent.add(prediction(number), 0.0)
    found = [number for number in range(50_000) if recent.find(number, 0.0)]
    assert found == list(range(50_000 - len(found), 50_000))
    assert 5_000 <= len(found) <= 10_000


def test_what_is_too_old_to_be_found_is_forgotten() -> None:
    recent = RecentPredictions()
    for second in range(100):
        recent.add(prediction(second), float(second))
    kept = [second for second in range(100) if recent.find(second, float(second))]
    assert kept == list(range(100 - len(kept), 100))
    assert 5 <= len(kept) <= 12

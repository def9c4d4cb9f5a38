"""What another policy would have earned, from logged events."""

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from clipper_admin import replay
from clipper_admin.replay import Estimate, Event

ACCURACIES = {"forest": 0.9, "svm": 0.6, "tree": 0.3}


def feedback(losses: Mapping[str, float], probability: float, **changed: Any) -> Event:
    """An event of feedback on a prediction for which those with losses were asked."""
    return {
        "event": "feedback", "query_id": 7, "context": "", "chosen": list(losses), "probability": probability,
        "arms": list(ACCURACIES), "losses": losses, "reward": None,
    } | changed  # fmt: skip


def one_asked_each(logging: Mapping[str, float], count: int, seed: int) -> list[Event]:
    """Events of a policy that asks one model by these probabilities, and of models as good as ACCURACIES."""
    chance = random.Random(seed)
    chosen = chance.choices(list(logging), list(logging.values()), k=count)
    return [feedback({model: float(chance.random() > ACCURACIES[model])}, logging[model]) for model in chosen]


def all_asked(count: int, seed: int) -> list[Event]:
    """Events of an ensemble of all models."""
    chance = random.Random(seed)
    return [
        feedback({model: float(chance.random() > accuracy) for model, accuracy in ACCURACIES.items()}, 1.0)
        for _ in range(count)
    ]


class Pages:
    """A connection whose event log has these pages."""

    def __init__(self, pages: Sequence[Sequence[Event]]) -> None:
        self._pages = [*pages, []]

    def get_selection_events(self, app_name: str, after: str = "", count: int = 1_000) -> dict[str, Any]:
        assert app_name == "digits"
        number = int(after or 0)
        return {"events": self._pages[number], "next": str(number + 1)}


def test_by_hand() -> None:
    events = [
        feedback({"forest": 0.0}, 0.5),
        feedback({"forest": 1.0}, 0.25),
        feedback({"svm": 0.0}, 0.5),
        feedback({"svm": 0.5}, 0.25),
    ]

    found = replay.evaluate(events, replay.static({"forest": 3.0, "svm": 1.0}))

    # Weights 1.5, 3, 0.5, 1 and rewards 1, 0, 1, 0.5.
    assert found.events == 4
    assert found.effective_events == pytest.approx(36 / 12.5)
    weighted = [1.5, 0.0, 0.5, 0.5]
    mean = sum(weighted) / 4
    deviation = math.sqrt(sum((each - mean) ** 2 for each in weighted) / 3)
    assert found.inverse_propensity == pytest.approx((mean, deviation / 2))
    assert found.self_normalised.value == pytest.approx(2.5 / 6)
    residuals = [1.5 * (7 / 12), 3 * (-5 / 12), 0.5 * (7 / 12), 1 * (1 / 12)]
    assert found.self_normalised.standard_error == pytest.approx(math.hypot(*residuals) / 6)


@pytest.mark.parametrize("model", ACCURACIES)
def test_the_accuracy_of_a_model_that_was_rarely_asked_is_found(model: str) -> None:
    events = one_asked_each({"forest": 0.8, "svm": 0.15, "tree": 0.05}, 20_000, seed=1)

    found = replay.evaluate(events, replay.always(model))

    assert found.events == 20_000
    for estimate in (found.inverse_propensity, found.self_normalised):
        assert abs(estimate.value - ACCURACIES[model]) < 3 * estimate.standard_error
        assert estimate.standard_error < 0.03


@pytest.mark.parametrize("estimator", ["inverse_propensity", "self_normalised"])
def test_a_standard_error_is_the_spread_that_estimates_have(estimator: str) -> None:
    logs = (one_asked_each({"forest": 0.5, "svm": 0.3, "tree": 0.2}, 500, seed) for seed in range(200))
    estimates: list[Estimate] = [getattr(replay.evaluate(log, replay.uniform), estimator) for log in logs]

    mean = sum(each.value for each in estimates) / len(estimates)
    spread = math.sqrt(sum((each.value - mean) ** 2 for each in estimates) / (len(estimates) - 1))

    assert mean == pytest.approx(0.6, abs=4 * spread / math.sqrt(len(estimates)))
    assert sum(each.standard_error for each in estimates) / len(estimates) == pytest.approx(spread, rel=0.15)


def test_the_self_normalised_estimate_varies_less() -> None:
    events = one_asked_each({"forest": 0.1, "svm": 0.1, "tree": 0.8}, 2_000, seed=3)

    found = replay.evaluate(events, replay.always("forest"))

    assert found.self_normalised.standard_error < found.inverse_propensity.standard_error
    assert found.effective_events == pytest.approx(sum("forest" in event["losses"] for event in events))


def test_feedback_that_tells_of_all_models_counts_for_each() -> None:
    events = all_asked(1_000, seed=4)

    found = replay.evaluate(events, replay.always("tree"))

    right = sum(1 - event["losses"]["tree"] for event in events) / 1_000
    assert found.effective_events == pytest.approx(1_000)
    assert found.inverse_propensity == pytest.approx(found.self_normalised, rel=0.01)
    assert found.self_normalised.value == pytest.approx(right)


def test_a_model_that_was_late_in_an_ensemble_is_not_held_against_the_self_normalised_estimate() -> None:
    events = [feedback({"forest": 0.0, "svm": 0.0}, 1.0), feedback({"svm": 0.0}, 1.0)]

    assert replay.evaluate(events, replay.always("forest")).self_normalised.value == 1.0


def test_a_policy_may_look_at_contexts_and_learn_as_it_goes() -> None:
    seen: list[str] = []

    def policy(event: Event) -> Mapping[str, float]:
        seen.append(event["context"])
        return {"forest": 1.0} if event["context"] == "ann" else {"svm": 1.0}

    events = [
        feedback({"forest": 0.0, "svm": 1.0}, 1.0, context="ann"),
        feedback({"forest": 1.0, "svm": 0.0}, 1.0, context="bob"),
    ]

    assert replay.evaluate(events, policy).inverse_propensity.value == 1.0
    assert seen == ["ann", "bob"]


def test_what_says_nothing_of_single_models_is_left_out() -> None:
    telling = feedback({"forest": 0.25}, 1.0, reward=0.75)
    prediction = {key: telling[key] for key in ("query_id", "context", "chosen", "probability")} | {
        "event": "prediction"
    }
    nobody_answered = feedback({}, 1.0, chosen=["forest"])
    reward_of_an_ensemble = feedback({"forest": 0.0, "svm": 0.0}, 1.0, reward=1.0)

    found = replay.evaluate([prediction, telling, nobody_answered, reward_of_an_ensemble], replay.always("forest"))

    assert (found.events, found.inverse_propensity.value) == (1, 0.75)


def test_without_events_there_is_no_estimate() -> None:
    nothing = replay.evaluate([], replay.uniform)
    assert (nothing.events, nothing.effective_events) == (0, 0.0)
    assert all(map(math.isnan, (*nothing.inverse_propensity, *nothing.self_normalised)))


def test_a_policy_that_asks_what_was_never_asked_earns_nothing_that_is_known() -> None:
    found = replay.evaluate([feedback({"svm": 0.0}, 1.0)] * 2, replay.always("forest"))
    assert (found.inverse_propensity, found.effective_events) == (Estimate(0.0, 0.0), 0.0)
    assert math.isnan(found.self_normalised.value)


def test_one_event_has_no_standard_error() -> None:
    found = replay.evaluate([feedback({"svm": 0.0}, 0.5)], replay.always("svm"))
    assert found.inverse_propensity.value == 2.0
    assert math.isnan(found.inverse_propensity.standard_error)


def test_what_was_earned_is_the_mean_reward_of_the_models_that_were_asked() -> None:
    on_an_input = feedback({"forest": 1.0, "svm": 1.0}, 1.0, query_id=None)
    events = [feedback({"forest": 0.0}, 0.5), feedback({"svm": 0.5}, 0.1), on_an_input]
    assert replay.earned(events) == pytest.approx((0.75, 0.25))


@pytest.mark.parametrize("weights", [{}, {"forest": 0.0}, {"forest": 1.0, "svm": -0.5}, {"forest": math.nan}])
def test_weights_that_are_none_are_refused(weights: Mapping[str, float]) -> None:
    with pytest.raises(ValueError, match="the weights must be 0 or more"):
        replay.static(weights)


def test_the_log_is_read_to_its_end_a_page_at_a_time() -> None:
    pages = Pages([[{"event": 1}, {"event": 2}], [{"event": 3}]])
    assert [event["event"] for event in replay.logged(pages, "digits")] == [1, 2, 3]

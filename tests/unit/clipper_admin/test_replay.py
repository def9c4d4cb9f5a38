"""What another policy would have earned, from logged events."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from clipper_admin import replay
from clipper_admin.replay import Estimate, Event
from services.query.engine.policies.registry import load
from simulation.bandits import classifiers, play

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


def logged_by(policy: str, count: int, seed: int) -> list[Event]:
    """Events of one of the built-in policies that learns as it goes."""
    history = play(load(policy)({}), list(ACCURACIES), classifiers(ACCURACIES), count, seed)
    return [
        feedback({arm: step.arm_losses[arm] for arm in step.choice.arms}, step.choice.probability)
        for step in history.steps
    ]


def has_no_estimate(found: replay.Evaluation) -> bool:
    return all(map(math.isnan, (*found.doubly_robust, *found.inverse_propensity, *found.self_normalised)))


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
    ] * 50

    found = replay.evaluate(events, replay.static({"forest": 3.0, "svm": 1.0}))

    # Weights 1.5, 3, 0.5, 1 and rewards 1, 0, 1, 0.5.
    assert found.events == 200
    assert found.effective_events == pytest.approx(50 * 36 / 12.5)
    weighted = [1.5, 0.0, 0.5, 0.5] * 50
    mean = sum(weighted) / 200
    deviation = math.sqrt(sum((each - mean) ** 2 for each in weighted) / 199)
    assert found.inverse_propensity == pytest.approx((mean, deviation / math.sqrt(200)))
    assert found.self_normalised.value == pytest.approx(2.5 / 6)
    residuals = [1.5 * (7 / 12), 3 * (-5 / 12), 0.5 * (7 / 12), 1 * (1 / 12)] * 50
    assert found.self_normalised.standard_error == pytest.approx(math.hypot(*residuals) / 300)
    # Means of 1/3 and 2/3 by these weights; of what they leave, a quarter of 0, -1.5, 0.5 and -0.5 and so on.
    model = 0.75 * (1 / 3) + 0.25 * (2 / 3)
    corrections = [1.5 * (2 / 3), 3 * (-1 / 3), 0.5 * (1 / 3), 1 * (-1 / 6)]
    assert found.doubly_robust.value == pytest.approx(model + sum(corrections) / 4)
    assert found.doubly_robust.low < found.doubly_robust.value < found.doubly_robust.high


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
    both = feedback({"forest": 0.0, "svm": 0.0}, 1.0)
    events = [both, {**both, "losses": {"svm": 0.0}}] * 50

    assert replay.evaluate(events, replay.always("forest")).self_normalised.value == 1.0


def test_a_policy_may_look_at_contexts_and_learn_as_it_goes() -> None:
    seen: list[str] = []

    def policy(event: Event) -> Mapping[str, float]:
        seen.append(event["context"])
        return {"forest": 1.0} if event["context"] == "ann" else {"svm": 1.0}

    events = [
        feedback({"forest": 0.0, "svm": 1.0}, 1.0, context="ann"),
        feedback({"forest": 1.0, "svm": 0.0}, 1.0, context="bob"),
    ] * 50

    assert replay.evaluate(events, policy).inverse_propensity.value == 1.0
    assert seen == ["ann", "bob"] * 50


def test_what_says_nothing_of_single_models_is_left_out() -> None:
    telling = feedback({"forest": 0.25}, 1.0, reward=0.75)
    prediction = {key: telling[key] for key in ("query_id", "context", "chosen", "probability")} | {
        "event": "prediction"
    }
    nobody_answered = feedback({}, 1.0, chosen=["forest"])
    reward_of_an_ensemble = feedback({"forest": 0.0, "svm": 0.0}, 1.0, reward=1.0)

    events = [prediction, telling, nobody_answered, reward_of_an_ensemble] * 50
    found = replay.evaluate(events, replay.always("forest"))

    assert (found.events, found.inverse_propensity.value) == (50, 0.75)


def test_without_events_there_is_no_estimate() -> None:
    nothing = replay.evaluate([], replay.uniform)
    assert (nothing.events, nothing.effective_events) == (0, 0.0)
    assert has_no_estimate(nothing)
    assert nothing.why_not == "there is no feedback that tells of single models"


@pytest.mark.parametrize("sure", [1.0, 0.03], ids=["always", "now and then"])
def test_without_support_there_is_no_estimate_but_why(sure: float) -> None:
    certain = [feedback({"svm": 0.0}, 1.0)] * round(1_000 * sure)
    events = [*certain, *one_asked_each({"forest": 0.5, "svm": 0.5}, 1_000 - len(certain), seed=1)]

    found = replay.evaluate(events, replay.always("forest"))

    assert has_no_estimate(found)
    assert found.why_not == f"{sure:.0%} of its choices were never made: another model was asked with probability 1"


@pytest.mark.parametrize("policy", [replay.always("tree"), replay.uniform], ids=["always", "now and then"])
def test_of_a_model_that_was_asked_too_rarely_there_is_no_estimate_but_why(policy: replay.Policy) -> None:
    events = one_asked_each({"forest": 0.99, "svm": 0.0, "tree": 0.01}, 1_000, seed=1)
    few = sum("tree" in event["losses"] for event in events)

    found = replay.evaluate(events, policy)

    assert has_no_estimate(found)
    assert f"{few} of 1,000 events speak for asking tree, and it takes 30" == found.why_not or "svm" in found.why_not


@pytest.mark.parametrize("policy", ["ucb1", "linucb"])
def test_a_policy_without_chance_leaves_a_log_that_tells_of_no_other(policy: str) -> None:
    events = logged_by(policy, 600, seed=1)
    assert all(has_no_estimate(replay.evaluate(events, replay.always(model))) for model in ("svm", "tree"))


def by_fixed_shares(seed: int) -> list[Event]:
    return one_asked_each({"forest": 0.7, "svm": 0.2, "tree": 0.1}, 500, seed)


def by_exp3(seed: int) -> list[Event]:
    return logged_by("exp3", 200, seed)


@pytest.mark.parametrize("log", [by_fixed_shares, by_exp3])
def test_intervals_cover_the_truth_in_93_percent_of_200_logs_at_least(log: Callable[[int], list[Event]]) -> None:
    policies = [(replay.always("forest"), 0.9), (replay.always("tree"), 0.3), (replay.uniform, 0.6)]
    covered = []
    for seed in range(200):
        events = log(seed)
        for policy, truth in policies:
            found = replay.evaluate(events, policy)
            if not found.why_not:
                covered.append(found.doubly_robust.low <= truth <= found.doubly_robust.high)
    assert len(covered) > 150
    assert sum(covered) / len(covered) >= 0.93


def test_one_choice_of_tiny_probability_does_not_decide() -> None:
    events = [*one_asked_each({"forest": 0.5, "svm": 0.5}, 1_000, seed=1), feedback({"svm": 1.0}, 1e-6)]
    assert replay.evaluate(events, replay.always("svm")).doubly_robust.value == pytest.approx(
        ACCURACIES["svm"], abs=0.08
    )


def test_the_better_policy_is_recommended_and_it_says_how_sure_that_is() -> None:
    comparison = replay.compare(one_asked_each({"forest": 0.3, "svm": 0.4, "tree": 0.3}, 1_000, seed=1))
    *table, _, advice = replay.lines(comparison)

    assert comparison.recommended is not None
    names = [line.split("  ")[0] for line in table]
    assert (names[:3], names[-1]) == (["policy", "as it was", "always forest"], "always tree")
    assert advice.startswith("Recommended: always forest. It would have earned 0.3")
    assert advice.endswith("more a query, >99% sure.")


def test_what_is_no_better_for_sure_is_not_recommended() -> None:
    events = [
        feedback({"forest" if number % 4 else "svm": float(number // 4 % 10 == 0)}, 0.5) for number in range(1_000)
    ]
    *_, advice = replay.lines(replay.compare(events))
    assert advice.startswith("Recommended: leave it as it is.")


@pytest.mark.parametrize("events", [[], [feedback({"svm": 0.0}, 1.0)] * 100], ids=["nothing", "no support"])
def test_where_nothing_can_be_told_nothing_is_recommended(events: list[Event]) -> None:
    comparison = replay.compare(events, {"other": replay.always("forest")})
    assert comparison.recommended is None
    *_, line, _, advice = replay.lines(comparison)
    assert line.startswith("other      no estimate: ")
    assert advice == "No recommendation: the log does not tell what another policy would have earned."


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

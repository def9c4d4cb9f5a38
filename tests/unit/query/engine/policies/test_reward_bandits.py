"""epsilon_greedy, ucb1 and thompson: what follows from counts and sums of rewards."""

import math

import numpy as np
import pytest

from services.query.engine.policies.epsilon_greedy import EpsilonGreedy
from services.query.engine.policies.policy import Observation
from services.query.engine.policies.registry import load
from services.query.engine.policies.thompson import Thompson, probabilities_of_being_largest
from services.query.engine.policies.ucb1 import Ucb1

_ARMS = ("net", "svm")


def _state(**observed: tuple[float, float]) -> dict[str, float]:
    """Counts and sums of rewards, by arm."""
    counts = {f"count:{arm}": count for arm, (count, _) in observed.items()}
    return counts | {f"reward:{arm}": rewards for arm, (_, rewards) in observed.items()}


def test_they_keep_counts_and_sums_of_rewards() -> None:
    state = Thompson({}).observe({}, _ARMS, Observation({"net": 0.25}, 0.5))
    assert Thompson({}).observe(state, _ARMS, Observation({"net": 1.0, "svm": 0.0})) == _state(
        net=(2, 0.75), svm=(1, 1)
    )


def test_epsilon_greedy_explores_a_share_of_epsilon() -> None:
    policy = EpsilonGreedy({"epsilon": 0.2})
    assert policy.weights(_state(net=(10, 9), svm=(10, 8)), _ARMS) == pytest.approx({"net": 0.9, "svm": 0.1})
    assert EpsilonGreedy({"epsilon": 0.0}).weights(_state(net=(10, 9), svm=(10, 8)), _ARMS)["net"] == 1.0


def test_epsilon_greedy_does_not_flood_an_arm_that_has_no_feedback_yet() -> None:
    arms = ("net", "svm", "young")
    assert EpsilonGreedy({}).weights(_state(net=(10, 9), svm=(10, 8)), arms)["young"] == pytest.approx(0.1 / 3)
    assert EpsilonGreedy({}).weights({}, arms)["young"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("name", ["epsilon_greedy", "ucb1", "thompson", "discounted_thompson"])
@pytest.mark.parametrize("rewards", [0, 5])
def test_an_arm_gets_a_tenth_before_its_first_feedback_and_more_with_each(name: str, rewards: int) -> None:
    shares = [
        load(name)({}).weights(_state(net=(1_000, rewards), svm=(count, count)), _ARMS)["svm"] for count in range(10)
    ]
    assert shares[0] <= 0.15
    assert shares == sorted(shares)
    assert shares[4] <= 0.56
    assert shares[9] > 0.9


def test_arms_of_which_nothing_is_known_are_asked_equally_often() -> None:
    assert Ucb1({}).weights({}, _ARMS) == {"net": 0.5, "svm": 0.5}
    assert Ucb1({}).weights(_state(net=(10, 10)), _ARMS) == pytest.approx({"net": 0.9, "svm": 0.1})


def test_ucb1_asks_the_arm_whose_upper_bound_is_the_highest() -> None:
    # ln 110 = 4.70: bounds of 0.8 + sqrt(2 * 4.70 / 100) = 1.107 and 0.5 + sqrt(2 * 4.70 / 10) = 1.470.
    state = _state(net=(100, 80), svm=(10, 5))
    assert Ucb1({}).weights(state, _ARMS) == {"net": 0.0, "svm": 1.0}
    assert Ucb1({"exploration": 0.1}).weights(state, _ARMS) == {"net": 1.0, "svm": 0.0}


def test_thompson_believes_in_everything_before_any_feedback() -> None:
    weights = Thompson({}).weights({}, ["forest", "net", "svm"])
    assert weights == pytest.approx({"forest": 1 / 3, "net": 1 / 3, "svm": 1 / 3})


def test_thompson_explores_less_the_more_it_knows() -> None:
    few, many = (Thompson({}).weights(_state(net=(n, 0.9 * n), svm=(n, 0.8 * n)), _ARMS)["svm"] for n in (10, 1_000))
    assert few > 0.2
    assert many < 1e-6


@pytest.mark.parametrize(
    "beliefs",
    [
        [(1, 1), (10, 2), (3, 9)],
        [(1, 1), (1_000, 1)],
        [(90_850, 9_150), (90_800, 9_200), (1, 1), (50, 5)],
        [(1.3, 1), (2.7, 1.5), (1, 50)],
        [(30 + arm, 5 + arm % 7) for arm in range(64)],
    ],
    ids=["few", "skewed", "narrow and wide", "fractions", "64 arms"],
)
def test_thompsons_probabilities_are_those_of_draws(beliefs: list[tuple[float, float]]) -> None:
    alphas, betas = np.array(beliefs, np.float64).T
    draws = np.random.default_rng(1).beta(alphas, betas, (100_000, len(beliefs)))
    expected = np.bincount(draws.argmax(1), minlength=len(beliefs)) / len(draws)
    found = probabilities_of_being_largest(alphas, betas)
    assert found == pytest.approx(expected.tolist(), abs=0.006)
    assert math.fsum(found) == pytest.approx(1.0)


def test_two_thompson_states_of_equal_content_are_not_mixed_up_with_others() -> None:
    policy = Thompson({})
    few, half, most, again = (
        policy.weights(_state(net=(10, wins), svm=(10, 5)), _ARMS)["net"] for wins in (1, 5, 9, 1)
    )
    assert few < 0.1 < half < 0.9 < most
    assert again == few

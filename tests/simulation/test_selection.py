"""Selection policies among simulated models: how fast they find the best one, leave it when it degrades, and return."""

from collections.abc import Mapping
from statistics import fmean

import pytest

from examples.selection_policy import degrading, main
from services.query.engine.policies.policy import SelectionPolicy
from services.query.engine.policies.registry import load
from simulation.bandits import History, World, absolute, classifiers, loss_sequence, phases, play, population

# Five classifiers of CIFAR-10, as in figure 8 of the Clipper paper.
_ACCURACIES = {"a": 0.7575, "b": 0.654, "c": 0.832, "d": 0.54, "best": 0.9085}
_ARMS = tuple(_ACCURACIES)
_LEARNING = ("epsilon_greedy", "ucb1", "thompson", "exp3", "exp4")

every_seed = pytest.mark.parametrize("seed", range(5))


def _policy(name: str, parameters: Mapping[str, float] | None = None, combine: str = "vote") -> SelectionPolicy:
    return load(name, ["examples"])(parameters or {}, combine)


def _degraded_between(start: int, stop: int, accuracy: float = 0.1) -> World:
    """The best arm guesses for a while; by default as one does who knows nothing."""
    return phases(
        {
            0: classifiers(_ACCURACIES),
            start: classifiers({**_ACCURACIES, "best": accuracy}),
            stop: classifiers(_ACCURACIES),
        }
    )


@pytest.mark.parametrize(("name", "runs", "least"), [("exp3", 100, 0.94), ("exp4", 20, 0.98)])
def test_about_97_percent_of_the_weight_is_on_the_best_within_2_000_queries(name: str, runs: int, least: float) -> None:
    policy = _policy(name)
    final = [
        play(policy, _ARMS, classifiers(_ACCURACIES), 2_000, seed).steps[-1].weights["best"] for seed in range(runs)
    ]
    assert fmean(final) > least
    assert sorted(final)[runs // 2] > 0.96


@every_seed
@pytest.mark.parametrize("accuracy", [0.1, 0.3])
@pytest.mark.parametrize("name", ["exp3", "exp4"])
def test_a_degraded_best_arm_is_left_within_500_queries(name: str, accuracy: float, seed: int) -> None:
    history = play(_policy(name), _ARMS, _degraded_between(5_000, 10_000, accuracy), 6_000, seed)
    assert history.mean_weight("best", 4_000, 5_000) > 0.75
    assert history.queries_to_leave("best", 5_000) <= 500


@pytest.mark.parametrize("name", ["exp3", "exp4"])
def test_it_is_left_as_fast_after_a_history_four_times_as_long(name: str) -> None:
    history = play(_policy(name), _ARMS, _degraded_between(20_000, 40_000), 21_000, seed=1)
    assert history.queries_to_leave("best", 20_000) <= 500


@pytest.mark.parametrize("name", ["exp3", "exp4"])
def test_through_a_degradation_they_lose_less_than_the_best_single_model_and_the_best_one_gets_its_weight_back(
    name: str,
) -> None:
    history = play(_policy(name), _ARMS, _degraded_between(5_000, 10_000), 20_000, seed=1)
    assert history.mean_loss() < 0.85 * history.best_arm_loss()
    assert history.mean_weight("best", 15_000, 20_000) > 0.9


def test_the_ensemble_loses_less_than_the_bandit() -> None:
    world = _degraded_between(2_500, 5_000)
    bandit, ensemble = (play(_policy(name), _ARMS, world, 10_000, seed=1) for name in ("exp3", "exp4"))
    assert ensemble.mean_loss() < bandit.mean_loss()


@pytest.mark.parametrize("name", _LEARNING)
def test_whatever_learns_comes_to_lose_little_more_than_the_best_model(name: str) -> None:
    history = play(_policy(name), _ARMS, classifiers(_ACCURACIES), 4_000, seed=1)
    assert history.mean_loss(2_000) < 0.0915 + 0.05


@pytest.mark.parametrize("name", [*_LEARNING, "linucb"])
def test_given_losses_are_learned_as_well_as_wrong_answers(name: str) -> None:
    world = loss_sequence([{"even": 0.5, "good": 0.2}, {"even": 0.5, "good": 0.4}])
    history = play(_policy(name, combine="average"), ["even", "good"], world, 3_000, seed=1, loss=absolute)
    assert history.mean_loss(2_000) < 0.35


def test_static_weights_are_kept_whatever_happens() -> None:
    history = play(_policy("static", {"best": 1.0, "d": 3.0}), _ARMS, classifiers(_ACCURACIES), 4_000, seed=1)
    asked = fmean(step.choice.arms == ("d",) for step in history.steps)
    assert asked == pytest.approx(0.75, abs=0.03)


_GROUPS = {f"group {best}": classifiers({arm: 0.95 if arm == best else 0.5 for arm in _ARMS}) for best in _ARMS}


@pytest.mark.parametrize("name", ["thompson", "exp4"])
def test_where_contexts_differ_a_state_for_each_beats_one_for_all(name: str) -> None:
    def played(per_context: bool) -> History:
        return play(_policy(name), _ARMS, population(_GROUPS), 5_000, seed=1, per_context=per_context)

    assert played(True).mean_loss(2_500) < played(False).mean_loss(2_500) - 0.1


def test_linucb_learns_from_inputs_what_others_need_contexts_for() -> None:
    def played(name: str) -> History:
        return play(_policy(name), _ARMS, population(_GROUPS), 3_000, seed=1, per_context=False)

    assert played("linucb").mean_loss(1_500) < played("thompson").mean_loss(1_500) - 0.25


def test_a_majority_errs_less_than_its_best_member_and_more_so_where_it_is_unanimous() -> None:
    equals = dict.fromkeys(_ARMS, 0.8)
    steps = play(_policy("majority"), _ARMS, classifiers(equals), 3_000, seed=1).steps
    assert fmean(step.loss for step in steps) < 0.1
    assert fmean(step.loss for step in steps if step.answer.confidence == 1.0) < 0.01


def test_the_same_seed_gives_the_same_run_and_the_same_world_to_every_policy() -> None:
    one, same, other = (
        play(_policy(name), _ARMS, classifiers(_ACCURACIES), 200, seed=1) for name in ("exp3", "exp3", "thompson")
    )
    assert one == same
    assert [step.arm_losses for step in one.steps] == [step.arm_losses for step in other.steps]


_BEST_IS_DEAD = classifiers({arm: accuracy for arm, accuracy in _ACCURACIES.items() if arm != "best"})


@pytest.mark.parametrize("name", ["epsilon_greedy", "ucb1", "thompson", "exp3"])
def test_a_bandit_gives_up_an_arm_that_never_answers(name: str) -> None:
    history = play(_policy(name), _ARMS, _BEST_IS_DEAD, 3_000, seed=1)
    assert history.mean_weight("best", 1_000) < 0.05


def test_an_ensemble_rewards_nobody_for_not_answering() -> None:
    final = play(_policy("exp4"), _ARMS, _BEST_IS_DEAD, 3_000, seed=1).steps[-1]
    assert final.weights["best"] == pytest.approx(1 / len(_ARMS))
    assert final.answer.confidence <= 0.8


def test_a_policy_of_ones_own_can_be_tried_in_the_simulator() -> None:
    policy = _policy("examples.selection_policy:Lately", {"memory": 40.0})
    history = play(policy, ["forest", "net", "svm"], degrading(), 6_000, seed=1)
    assert history.mean_loss() < history.best_arm_loss()
    assert history.queries_to_leave("forest", 2_000) < 300


def test_the_example_compares_it_with_others(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "Lately",
        "epsilon_greedy",
        "thompson",
        "exp3",
        "exp4",
    ]

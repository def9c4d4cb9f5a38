"""Policies where feedback is late, incomplete and out of order, and arms change, leave and return.

Regret is what is lost against asking, at each query, the arm that is best then. It is compared with that of policies
that are told the setting, and with that of a library's on the same stream.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from math import fsum
from random import Random
from types import MappingProxyType

import pytest

from services.query.engine.policies.registry import load
from simulation.bandits import (
    AT_ONCE,
    Delivery,
    History,
    Turn,
    World,
    classifiers,
    drifting,
    leaving,
    phases,
    play,
)

_ACCURACIES = {"a": 0.7575, "b": 0.654, "c": 0.832, "d": 0.54, "best": 0.9085}
_ARMS = tuple(_ACCURACIES)
_QUERIES = 6_000


def _played(
    name: str,
    world: World,
    delivery: Delivery = AT_ONCE,
    parameters: Mapping[str, float] = MappingProxyType({}),
    queries: int = _QUERIES,
) -> History:
    return play(load(name)(parameters), _ARMS, world, queries, seed=1, delivery=delivery)


def _turning(number: int) -> Mapping[str, float]:
    """Each arm is the best for a fifth of the queries."""
    turn = 2.0 * math.pi * number / _QUERIES
    return {arm: 0.7 + 0.2 * math.sin(turn + 2.0 * math.pi * place / 5) for place, arm in enumerate(_ARMS)}


_STILL = classifiers(_ACCURACIES)
_ABRUPT = phases({0: _STILL, 1_500: classifiers({**_ACCURACIES, "best": 0.1}), 3_000: _STILL})


_DRIFT = drifting(_turning)
_LATE = Delivery(lag=1_000)
_ASTRAY = Delivery(lag=100, spread=100, missing=0.2)


def _library_regret(world: World, delivery: Delivery) -> float:
    """What MABWiser's Thompson sampling loses on a stream, of which it is told fifty feedbacks at once."""
    # It brings along what takes seconds to import.
    from mabwiser.mab import MAB, LearningPolicy

    mab = MAB(list(_ARMS), LearningPolicy.ThompsonSampling(), seed=1)
    mab.fit([arm for arm in _ARMS for _ in range(2)], [0, 1] * len(_ARMS))
    world_chance, chance = Random("world 1"), Random("delivery 1")
    regret, told, due = 0.0, [], []
    for number in range(_QUERIES):
        turn = world(number, world_chance)
        arm = mab.predict()
        regret += turn.expected[arm] - min(turn.expected.values())
        comes = delivery.due(number, chance)
        if comes is not None:
            due.append((comes, arm, int(turn.outputs[arm] == turn.label)))
        if number % 50 == 49:
            told = [(arm, reward) for comes, arm, reward in due if comes <= number]
            due = [each for each in due if each[0] > number]
            if told:
                mab.partial_fit(*map(list, zip(*told, strict=True)))
    return regret


# What the documentation names for such a world.
_NAMED = {_STILL: "discounted_thompson", _ABRUPT: "exp3", _DRIFT: "discounted_thompson"}


@lru_cache
def _regret(world: World, delivery: Delivery) -> float:
    """Of the policy that is named for a world, which is told nothing."""
    return _played(_NAMED[world], world, delivery).regret()


@pytest.mark.parametrize(
    ("world", "delivery", "best", "told"),
    [
        (_STILL, AT_ONCE, "thompson", {}),
        (_STILL, _ASTRAY, "thompson", {}),
        (_STILL, _LATE, "thompson", {}),
        (_STILL, Delivery(lag=5_000), "thompson", {}),
        (_ABRUPT, AT_ONCE, "discounted_thompson", {"memory": 500.0}),
        (_ABRUPT, _ASTRAY, "discounted_thompson", {"memory": 500.0}),
        (_ABRUPT, _LATE, "exp3", {"eta": 0.02}),
        (_DRIFT, AT_ONCE, "exp3", {"eta": 0.1}),
    ],
)
def test_without_being_told_the_setting_it_loses_little_more_than_one_that_is(
    world: World, delivery: Delivery, best: str, told: Mapping[str, float]
) -> None:
    assert _regret(world, delivery) <= 1.15 * _played(best, world, delivery, told).regret()


@pytest.mark.parametrize("delivery", [AT_ONCE, _LATE], ids=["at once", "late"])
@pytest.mark.parametrize("world", _NAMED, ids=["still", "abrupt", "drifting"])
def test_it_never_loses_twice_what_a_library_does(world: World, delivery: Delivery) -> None:
    assert _regret(world, delivery) < 2.0 * _library_regret(world, delivery)


def test_exp3_finds_out_how_late_feedback_is() -> None:
    def regret(eta: float) -> float:
        policy = load("exp3")({"eta": eta})
        runs = [play(policy, _ARMS, _STILL, _QUERIES, seed, delivery=_LATE) for seed in range(3)]
        return fsum(run.regret() for run in runs)

    assert regret(0.1) < 1.15 * regret(0.02)


@pytest.mark.parametrize("name", ["epsilon_greedy", "thompson", "discounted_thompson", "exp3"])
def test_a_model_that_was_away_comes_back_with_no_more_traffic_than_it_had(name: str) -> None:
    """For 2,400 queries, which at 20 a second are two minutes."""
    history = _played(name, leaving(_STILL, "c", 1_500, 3_900), Delivery(lag=20), queries=4_000)
    assert history.mean_weight("c", 3_900, 3_920) <= history.mean_weight("c", 1_000, 1_500) + 0.02


def test_linucb_does_not_mind_units() -> None:
    def played(units: Mapping[float, float]) -> History:
        def turn(_number: int, seeded: Random) -> Turn:
            drawn = [seeded.gauss(0.0, 1.0) for _ in units]
            good = "a" if drawn[0] - drawn[1] + 0.5 * drawn[2] > 0.0 else "b"
            is_known = seeded.random() < 0.95
            outputs = {arm: "1" if (arm == good) == is_known else "0" for arm in "ab"}
            inputs = [middle + unit * each for (middle, unit), each in zip(units.items(), drawn, strict=True)]
            return Turn("1", outputs, inputs)

        return play(load("linucb")({}), ["a", "b"], turn, 3_000, seed=1)

    income_age_and_share = {50_000.0: 15_000.0, 40.0: 12.0, 0.5: 0.1}
    assert played(income_age_and_share).mean_loss(1_000) < 0.09


def test_new_contexts_begin_with_what_was_learned_without_one() -> None:
    """The first 1,000 queries are nobody's; then each of a hundred users asks twelve times."""

    def turn(number: int, seeded: Random) -> Turn:
        context = "" if number < 1_000 else f"user {(number - 1_000) // 12}"
        return _STILL(number, seeded)._replace(context=context)

    for name in ("exp3", "exp4", "thompson", "discounted_thompson"):
        history = play(load(name)({}), _ARMS, turn, 2_200, seed=1)
        assert history.mean_loss(1_000) < 0.18

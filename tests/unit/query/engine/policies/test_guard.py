"""Whatever a policy does is the failure of that call alone."""

import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import Any

import numpy as np
import pytest

from services.common.errors import InvalidInput
from services.query.engine.policies import guard
from services.query.engine.policies.guard import PolicyFailed
from services.query.engine.policies.policy import AdditivePolicy, Choice, Combination, Observation, State
from tests.fixtures.endings import ENDINGS, raising

ARMS = ("a", "b")
SEEN = Observation({"a": 0.0})


class Scripted(AdditivePolicy):
    """Does in each method what the test says."""

    def __init__(self, do: Callable[[], Any]) -> None:
        super().__init__({})
        self._do = do

    def init(self, state: State, arms: Sequence[str]) -> Any:
        return self._do()

    def select(self, state: State, arms: Sequence[str], features: Sequence[float], random: Random) -> Any:
        return self._do()

    def combine(self, state: State, arms: Sequence[str], outputs: Mapping[str, str]) -> Any:
        return self._do()

    def increments(self, arms: Sequence[str], observation: Observation) -> Any:
        return self._do()

    def observe(self, state: State, arms: Sequence[str], observation: Observation) -> Any:
        return self._do()

    def weights(self, state: State, arms: Sequence[str]) -> Any:
        return self._do()


CALLS: dict[str, Callable[[Scripted], Any]] = {
    "select": lambda policy: guard.select(policy, {}, ARMS, (), Random(1)),
    "combine": lambda policy: guard.combine(policy, {}, ARMS, {"a": "1"}),
    "init": lambda policy: guard.init(policy, {}, ARMS),
    "observe": lambda policy: guard.observe(policy, {}, ARMS, SEEN),
    "increments": lambda policy: guard.increments(policy, ARMS, SEEN),
    "weights": lambda policy: guard.weights(policy, {}, ARMS),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("ending", ENDINGS)
def test_whatever_a_policy_raises_is_its_failure(call: str, ending: str) -> None:
    with pytest.raises(PolicyFailed, match=f"^{ending}"):
        CALLS[call](Scripted(ENDINGS[ending]))


@pytest.mark.parametrize("call", CALLS)
def test_a_refusal_stays_one(call: str) -> None:
    with pytest.raises(InvalidInput, match=r"^not with me$"):
        CALLS[call](Scripted(raising(InvalidInput("not with me"))))


class _Trap:
    """Ends whoever makes a number of it."""

    def __float__(self) -> float:
        sys.exit(1)


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("select", None),
        ("select", Choice((), 1.0)),
        ("select", Choice(("a",), 0.0)),
        ("select", Choice(("a",), float("nan"))),
        ("select", (("a",), "all")),
        ("select", ("a", 1.0, 2.0)),
        ("combine", None),
        ("combine", (7, 1.0)),
        ("combine", Combination("\ud800", 1.0)),
        ("combine", Combination("7", float("nan"))),
        ("combine", ("7", None)),
        ("weights", ["a", "b"]),
        ("weights", {"a": "much"}),
        ("weights", {"a": _Trap()}),
        ("weights", {7: 1.0}),
        ("init", None),
        ("observe", {"a": None}),
        ("observe", {"\ud800": 1.0}),
        ("increments", {"a": 1j}),
    ],
)
def test_an_answer_that_makes_no_sense_is_a_failure(call: str, answer: Any) -> None:
    with pytest.raises(PolicyFailed):
        CALLS[call](Scripted(lambda: answer))


@pytest.mark.parametrize("number", [1, np.float32(1.0), np.float64(1.0), Decimal(1), True])
def test_numbers_of_all_kinds_become_plain_ones(number: Any) -> None:
    choice = CALLS["select"](Scripted(lambda: (["a"], number)))
    assert choice == Choice(("a",), 1.0)
    confidence = CALLS["combine"](Scripted(lambda: ("7", number))).confidence
    (weight,) = CALLS["weights"](Scripted(lambda: {"a": number})).values()
    assert type(choice) is Choice
    assert {type(each) for each in (choice.probability, confidence, weight)} == {float}

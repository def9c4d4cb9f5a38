"""A policy, called so that whatever it does is the failure of that call alone.

A policy may be anybody's: it may raise anything, SystemExit included, and answer with anything. Nobody else calls one.
Each function does what the method of its name does, and raises InvalidInput where the policy did, else PolicyFailed.
"""

import math
from collections.abc import Mapping, Sequence
from random import Random

from services.common.errors import InvalidInput, describe
from services.query.engine.policies.policy import (
    AdditivePolicy,
    Choice,
    Combination,
    Observation,
    SelectionPolicy,
    State,
)


class PolicyFailed(Exception):
    """A policy raised an exception, or answered with what makes no sense; the message says which."""


def select(
    policy: SelectionPolicy, state: State, arms: Sequence[str], features: Sequence[float], random: Random
) -> Choice:
    """Whom to ask."""
    try:
        choice = policy.select(state, arms, features, random)
        if type(choice) is not Choice or type(choice.arms) is not tuple or type(choice.probability) is not float:
            asked, probability = choice
            choice = Choice(tuple(asked), float(probability))
        if not choice.arms:
            raise ValueError("it chose no model")
        if not 0.0 < choice.probability < math.inf:
            raise ValueError(f"it chose with a probability of {choice.probability}")
        return choice
    except BaseException as error:
        raise _failure(error) from error


def combine(policy: SelectionPolicy, state: State, arms: Sequence[str], outputs: Mapping[str, str]) -> Combination:
    """One answer of several."""
    try:
        output, confidence = policy.combine(state, arms, outputs)
        if not isinstance(output, str):
            raise TypeError(f"it answered with an object of type {type(output).__name__}, which is no text")
        output.encode()
        confidence = float(confidence)
        if not math.isfinite(confidence):
            raise ValueError(f"it answered with a confidence of {confidence}")
        return Combination(output, confidence)
    except BaseException as error:
        raise _failure(error) from error


def init(policy: SelectionPolicy, state: State, arms: Sequence[str]) -> State:
    """What a state lacks."""
    try:
        return _numbers(policy.init(state, arms))
    except BaseException as error:
        raise _failure(error) from error


def begin(policy: SelectionPolicy, common: State, arms: Sequence[str]) -> State:
    """What a new context starts with."""
    try:
        return _numbers(policy.begin(common, arms))
    except BaseException as error:
        raise _failure(error) from error


def note(policy: SelectionPolicy, state: State) -> Sequence[float]:
    """What comes back with the feedback."""
    try:
        noted = tuple(float(number) for number in policy.note(state))
        if not all(map(math.isfinite, noted)):
            raise ValueError(f"it noted {noted}")
        return noted
    except BaseException as error:
        raise _failure(error) from error


def observe(policy: SelectionPolicy, state: State, arms: Sequence[str], observation: Observation) -> State:
    """The state after an observation."""
    try:
        return _numbers(policy.observe(state, arms, observation))
    except BaseException as error:
        raise _failure(error) from error


def increments(policy: AdditivePolicy, arms: Sequence[str], observation: Observation) -> Mapping[str, float]:
    """What an observation adds."""
    try:
        return _numbers(policy.increments(arms, observation))
    except BaseException as error:
        raise _failure(error) from error


def weights(policy: SelectionPolicy, state: State, arms: Sequence[str]) -> Mapping[str, float]:
    """How much it relies on each arm."""
    try:
        return _numbers(policy.weights(state, arms))
    except BaseException as error:
        raise _failure(error) from error


def _numbers(named: Mapping[str, float]) -> dict[str, float]:
    numbers = {name: float(number) for name, number in named.items()}
    "".join(numbers).encode()
    return numbers


def _failure(error: BaseException) -> Exception:
    return InvalidInput(str(error)) if type(error) is InvalidInput else PolicyFailed(describe(error))

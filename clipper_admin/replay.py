"""What another selection policy would have earned on an application's own traffic, from its event log.

    events = list(replay.logged(clipper_conn, "digits"))
    print("as it was", replay.earned(events))
    for model in clipper_conn.get_linked_models("digits"):
        print(model, replay.evaluate(events, replay.always(model)).self_normalised)

The log tells with which probability the policy in force asked whom it asked. Each reward counts the more the likelier
the other policy is to have asked the same, and the less likely the policy in force was: so the rewards that there are
stand for those that are missing. That holds for a policy in force that asks one model or all of them, and for other
policies that rely only on models which it asked now and then. `effective_events` tells how much of the log speaks for
the other policy; an estimate from a handful of them says little, whatever its standard error is.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

# An event as ClipperConnection.get_selection_events returns it.
Event = Mapping[str, Any]
# With what probability a policy asks each model for the prediction that an event is about; models that are absent: 0.
# It is called with each event once, oldest first, and must not look at the event's outputs and losses but to learn.
Policy = Callable[[Event], Mapping[str, float]]


class Connection(Protocol):
    """What is needed of a ClipperConnection."""

    def get_selection_events(self, app_name: str, after: str = "", count: int = 1_000) -> dict[str, Any]:
        """A page of an application's event log."""


class Estimate(NamedTuple):
    """A mean reward, from 0 to 1, and its standard error; NaN where the events do not tell."""

    value: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a policy would have earned.

    Attributes:
        events: how many events it is estimated from.
        effective_events: how many events drawn by the policy itself would tell as much.
        inverse_propensity: without bias, and of large variance where the policies differ.
        self_normalised: of a bias that vanishes with more events, and of less variance; never outside 0 to 1.
    """

    events: int
    effective_events: float
    inverse_propensity: Estimate
    self_normalised: Estimate


def logged(connection: Connection, app_name: str) -> Iterator[Event]:
    """All events of an application's log, oldest first, a page at a time."""
    after = ""
    while True:
        page = connection.get_selection_events(app_name, after)
        if not page["events"]:
            return
        yield from page["events"]
        after = page["next"]


def always(model: str) -> Policy:
    """The policy that asks one model."""
    return static({model: 1.0})


def uniform(event: Event) -> Mapping[str, float]:
    """The policy that asks each linked model equally often."""
    return dict.fromkeys(event["arms"], 1 / len(event["arms"]))


def static(weights: Mapping[str, float]) -> Policy:
    """The policy that asks models by their weights.

    Raises:
        ValueError: a weight is negative, or none is positive.
    """
    total = math.fsum(weights.values())
    if min(weights.values(), default=0.0) < 0 or not 0 < total < math.inf:
        raise ValueError(f"the weights must be 0 or more, and one of them positive: {dict(weights)}")
    probabilities = {model: weight / total for model, weight in weights.items()}
    return lambda _event: probabilities


def earned(events: Iterable[Event]) -> Estimate:
    """What the policy in force earned in fact, by the feedback on predictions for which it asked one model."""
    return _mean(
        [1.0 - event["losses"][event["chosen"][0]] for event in events if _tells(event) and len(event["chosen"]) == 1]
    )


def evaluate(events: Iterable[Event], policy: Policy) -> Evaluation:
    """What `policy` would have earned for the feedback among `events`.

    Feedback that tells of all models, from ensembles and on inputs, counts for all of them. A reward for what several
    models answered together tells nothing about any of them, and is left out.
    """
    weights, rewards = [], []
    for event in events:
        if _tells(event):
            weight, reward = _weigh(event, policy(event))
            weights.append(weight)
            rewards.append(reward)
    return Evaluation(
        events=len(weights),
        effective_events=_effective(weights),
        inverse_propensity=_mean(rewards),
        self_normalised=_self_normalised(weights, rewards),
    )


def _tells(event: Event) -> bool:
    """Whether an event says of single models how good they were."""
    if event["event"] != "feedback" or not event["losses"]:
        return False
    return event["reward"] is None or len(event["chosen"]) == 1


def _weigh(event: Event, probabilities: Mapping[str, float]) -> tuple[float, float]:
    """The event's weight, and the reward that it adds by that weight."""
    losses = event["losses"]
    likely = {model: probabilities.get(model, 0.0) / event["probability"] for model in losses}
    return math.fsum(likely.values()), math.fsum(likely[model] * (1.0 - losses[model]) for model in losses)


def _effective(weights: Sequence[float]) -> float:
    squares = math.fsum(weight * weight for weight in weights)
    return math.fsum(weights) ** 2 / squares if squares else 0.0


def _mean(rewards: Sequence[float]) -> Estimate:
    count = len(rewards)
    if not count:
        return Estimate(math.nan, math.nan)
    mean = math.fsum(rewards) / count
    if count == 1:
        return Estimate(mean, math.nan)
    variance = math.fsum((reward - mean) ** 2 for reward in rewards) / (count - 1)
    return Estimate(mean, math.sqrt(variance / count))


def _self_normalised(weights: Sequence[float], rewards: Sequence[float]) -> Estimate:
    total = math.fsum(weights)
    if not total:
        return Estimate(math.nan, math.nan)
    mean = math.fsum(rewards) / total
    # By the delta method: the spread of what each event is off from the mean by.
    spread = math.fsum((reward - weight * mean) ** 2 for weight, reward in zip(weights, rewards, strict=True))
    return Estimate(mean, math.sqrt(spread) / total)

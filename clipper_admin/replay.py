"""What another selection policy would have earned on an application's own traffic, from its event log.

    events = list(replay.logged(clipper_conn, "digits"))
    for line in replay.lines(replay.compare(events)):
        print(line)

The log tells with which probability the policy in force asked whom it asked. Each reward counts the more the likelier
the other policy is to have asked the same, and the less likely the policy in force was: so the rewards that there are
stand for those that are missing. That holds for a policy in force that asks one model or all of them, and for other
policies that rely only on models which it asked now and then. Where it never did, as `ucb1` and `linucb` mostly ask one
model with probability 1, or where too few events speak for the other policy, there is no estimate but the reason why.
Events are taken to be of one world: if models changed meanwhile, estimates are of what they were on the whole.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from clipper_admin.estimates import NO_ESTIMATE, Interval, Outcome, Sample, interval, resamples

# An event as ClipperConnection.get_selection_events returns it.
Event = Mapping[str, Any]
# With what probability a policy asks each model for the prediction that an event is about; models that are absent: 0.
# It is called with each event once, oldest first, and must not look at the event's outputs and losses but to learn.
Policy = Callable[[Event], Mapping[str, float]]


# How likely the recommended policy may be none, and from when on a part of samples says no more.
_DOUBT, _MOST_SURE = 0.05, 0.99


class Connection(Protocol):
    """What is needed of a ClipperConnection."""

    def get_selection_events(self, app_name: str, after: str = "", count: int = 1_000) -> dict[str, Any]:
        """A page of an application's event log."""


class Estimate(NamedTuple):
    """A mean reward, from 0 to 1, and its standard error; NaN where the events do not tell."""

    value: float
    standard_error: float


_UNKNOWN = Estimate(math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a policy would have earned.

    Attributes:
        events: how many events it is estimated from.
        effective_events: how many events drawn by the policy itself would tell as much.
        why_not: why there is no estimate, so that all of them are NaN; empty when there is one.
        doubly_robust: by what models earn on the whole, and what it would have asked of the choices in the log.
        inverse_propensity: by the latter alone, and of large variance where the policies differ.
        self_normalised: of a bias that vanishes with more events, and of less variance; never outside 0 to 1.
    """

    events: int
    effective_events: float
    why_not: str
    doubly_robust: Interval
    inverse_propensity: Estimate
    self_normalised: Estimate


class Candidate(NamedTuple):
    """A policy that could take the place of the one in force.

    Attributes:
        name: what people call it.
        evaluation: what it would have earned.
        sure: in which part of the bootstrap's samples that is more than was earned; NaN without an estimate.
    """

    name: str
    evaluation: Evaluation
    sure: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was earned, and what others would have earned.

    Attributes:
        earned: by the policy in force, on predictions for which it asked one model.
        events: by how many of them.
        candidates: the others, the best first and those without an estimate last.
    """

    earned: Interval
    events: int
    candidates: Sequence[Candidate]

    @property
    def recommended(self) -> Candidate | None:
        """The best of those that surely earn more than the policy in force; None if there is none."""
        # Of many candidates one is better by chance.
        enough = 1.0 - _DOUBT / max(1, len(self.candidates))
        return next((each for each in self.candidates if each.sure >= enough), None)


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
    outcomes = _outcomes(events, policy)
    if not outcomes:
        return Evaluation(0, 0.0, "there is no feedback that tells of single models", NO_ESTIMATE, _UNKNOWN, _UNKNOWN)
    return _evaluated(outcomes)[0]


def compare(events: Iterable[Event], policies: Mapping[str, Policy] | None = None) -> Comparison:
    """What was earned by predictions for which one model was asked, beside what others would have earned for them.

    Args:
        events: the log.
        policies: the others, by name; each linked model alone and all of them in turn, unless given.
    """
    telling = [event for event in events if _tells(event) and len(event["chosen"]) == 1]
    if policies is None:
        linked = telling[-1]["arms"] if telling else []
        policies = {f"always {model}": always(model) for model in linked} | {"each equally often": uniform}
    if not telling:
        nothing = evaluate((), uniform)
        return Comparison(NO_ESTIMATE, 0, [Candidate(name, nothing, math.nan) for name in policies])
    rewards = np.array([1.0 - event["losses"][event["chosen"][0]] for event in telling])
    samples = [float(counts @ rewards) / len(telling) for counts in resamples(len(telling))]
    candidates = [_candidate(name, telling, policy, samples) for name, policy in policies.items()]
    candidates.sort(
        key=lambda each: -1.0 if each.evaluation.why_not else each.evaluation.doubly_robust.value, reverse=True
    )
    return Comparison(interval(float(rewards.mean()), samples, len(telling)), len(telling), candidates)


def lines(comparison: Comparison) -> Iterator[str]:
    """A comparison as a table for people, with what follows from it."""
    width = max(len(name) for name in ("policy", "as it was", *(each.name for each in comparison.candidates)))
    yield f"{'policy':{width}}  reward  95 % interval   better  events that speak for it"
    if comparison.events:
        yield f"{'as it was':{width}}  {_cells(comparison.earned)}          {comparison.events:,}"
    for name, found, sure in comparison.candidates:
        cells = f"{_cells(found.doubly_robust)}   {_percent(sure):>4}   {found.effective_events:,.0f}"
        yield f"{name:{width}}  {f'no estimate: {found.why_not}' if found.why_not else cells}"
    yield ""
    yield _advice(comparison)


def _advice(comparison: Comparison) -> str:
    best = comparison.recommended
    if best is not None:
        more = best.evaluation.doubly_robust.value - comparison.earned.value
        return f"Recommended: {best.name}. It would have earned {more:.3f} more a query, {_percent(best.sure)} sure."
    if all(each.evaluation.why_not for each in comparison.candidates):
        return "No recommendation: the log does not tell what another policy would have earned."
    return "Recommended: leave it as it is. Of no other policy it is sure that it would have earned more."


def _cells(found: Interval) -> str:
    return f"{found.value:6.3f}  {found.low:.3f} to {found.high:.3f}"


def _percent(sure: float) -> str:
    # More than that a bootstrap of some hundred samples does not tell.
    return ">99%" if sure > _MOST_SURE else f"{sure:.0%}"


def _candidate(name: str, events: Sequence[Event], policy: Policy, earned: Sequence[float]) -> Candidate:
    evaluation, values = _evaluated(_outcomes(events, policy))
    wins = [value > was for value, was in zip(values, earned, strict=True)] if values else []
    return Candidate(name, evaluation, sum(wins) / len(wins) if wins else math.nan)


def _evaluated(outcomes: Sequence[Outcome]) -> tuple[Evaluation, Sequence[float]]:
    """An evaluation, and what it estimates for each of the bootstrap's samples; of at least one outcome."""
    sample = Sample(outcomes)
    events, effective = len(outcomes), sample.effective_events
    if sample.why_not:
        return Evaluation(events, effective, sample.why_not, NO_ESTIMATE, _UNKNOWN, _UNKNOWN), []
    values = [sample.doubly_robust(counts) for counts in resamples(events)]
    robust = interval(sample.doubly_robust(), values, effective, sample.unsupported)
    weights, rewards = zip(*(outcome.weighed for outcome in outcomes), strict=True)
    return Evaluation(events, effective, "", robust, _mean(rewards), _self_normalised(weights, rewards)), values


def _outcomes(events: Iterable[Event], policy: Policy) -> list[Outcome]:
    return [
        Outcome(
            event["probability"],
            event["chosen"],
            {model: 1.0 - loss for model, loss in event["losses"].items()},
            policy(event),
        )
        for event in events
        if _tells(event)
    ]


def _tells(event: Event) -> bool:
    """Whether an event says of single models how good they were."""
    if event["event"] != "feedback" or not event["losses"]:
        return False
    return event["reward"] is None or len(event["chosen"]) == 1


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

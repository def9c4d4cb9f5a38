"""A world to try selection policies in: models that are right now and then, and feedback for each of their answers.

    world = phases({0: classifiers({"svm": 0.9, "forest": 0.8}), 5_000: classifiers({"svm": 0.1, "forest": 0.8})})
    history = play(load("exp3")({}), ["svm", "forest"], world, queries=10_000, seed=1)
    print(history.mean_loss(), history.queries_to_leave("svm", 5_000))

It knows nothing of time: queries come one after the other. What feedback teaches, as the engine has it, is known to the
next one, or later, or some of it never, as a `Delivery` says. The same seed gives the same run, and the same world to
every policy.
"""

from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from math import fsum
from random import Random
from statistics import fmean
from typing import NamedTuple

from services.common.names import InputType
from services.common.records import Application
from services.common.selection_records import NOTHING, PredictionRecord
from services.query.engine.feedback import FeedbackItem, FeedbackRequest
from services.query.engine.policies import losses
from services.query.engine.policies.policy import Choice, Combination, SelectionPolicy, State
from services.query.engine.policies.selector import Selector
from services.query.engine.requests import NOBODY
from services.query.engine.versions import Route
from simulation.store import SimulatedStore


class Loss(NamedTuple):
    """How wrong an output is.

    Attributes:
        kind: one of names.LOSSES.
    """

    kind: str

    def __call__(self, label: str, output: str) -> float:
        """From 0 to 1."""
        return losses.loss(self.kind, label, output, 1.0)


zero_one, absolute = Loss("zero_one"), Loss("absolute")

# What is answered when nobody answers whom the policy asks.
_DEFAULT = Combination("", 0.0)
_CLASSES = "0123456789"


class Turn(NamedTuple):
    """One query.

    Attributes:
        label: the truth.
        outputs: what each arm says that answers in time.
        features: the input as numbers.
        context: who asks.
        away: the arms that cannot be asked.
        expected: the loss that each arm has on average, where that is known.
    """

    label: str
    outputs: Mapping[str, str]
    features: Sequence[float] = ()
    context: str = ""
    away: tuple[str, ...] = ()
    expected: Mapping[str, float] = NOTHING


# What happens at a query, by its number from 0 on; it takes its chance from the generator.
World = Callable[[int, Random], Turn]


def classifiers(accuracies: Mapping[str, float]) -> World:
    """Arms that name the right one of ten classes as often as `accuracies` say, independently, else any other."""

    def turn(_number: int, seeded: Random) -> Turn:
        truth = seeded.choice(_CLASSES)
        wrong = _CLASSES.replace(truth, "")
        outputs = {
            arm: truth if seeded.random() < accuracy else seeded.choice(wrong) for arm, accuracy in accuracies.items()
        }
        return Turn(truth, outputs, expected={arm: 1.0 - accuracy for arm, accuracy in accuracies.items()})

    return turn


def drifting(accuracies: Callable[[int], Mapping[str, float]]) -> World:
    """Classifiers whose accuracies depend on the number of the query."""
    return lambda number, seeded: classifiers(accuracies(number))(number, seeded)


def leaving(world: World, arm: str, start: int, stop: int) -> World:
    """A world in which an arm is away between two queries."""

    def turn(number: int, seeded: Random) -> Turn:
        found = world(number, seeded)
        return found._replace(away=(*found.away, arm)) if start <= number < stop else found

    return turn


def loss_sequence(sequence: Sequence[Mapping[str, float]]) -> World:
    """Arms with given losses at each query, over and over again; to be played with the loss `absolute`."""

    def turn(number: int, _seeded: Random) -> Turn:
        return Turn("0", {arm: repr(of_arm) for arm, of_arm in sequence[number % len(sequence)].items()})

    return turn


def phases(worlds: Mapping[int, World]) -> World:
    """Worlds that follow each other, by the number of the query that each begins with; one begins with 0."""
    beginnings = sorted(worlds)

    def turn(number: int, seeded: Random) -> Turn:
        return worlds[beginnings[bisect(beginnings, number) - 1]](number, seeded)

    return turn


def population(worlds: Mapping[str, World]) -> World:
    """A context for each world; queries come from them at random, and their features tell from which."""
    contexts = list(worlds)

    def turn(number: int, seeded: Random) -> Turn:
        drawn = seeded.randrange(len(contexts))
        features = [float(place == drawn) for place in range(len(contexts))]
        return worlds[contexts[drawn]](number, seeded)._replace(features=features, context=contexts[drawn])

    return turn


class Delivery(NamedTuple):
    """When feedback comes.

    Attributes:
        lag: after how many queries.
        spread: up to how many more it takes, so that it comes out of order.
        missing: the share of it that never comes.
    """

    lag: int = 0
    spread: int = 0
    missing: float = 0.0

    def due(self, number: int, chance: Random) -> int | None:
        """Before which query that on a query is learned; None: never."""
        if self.missing and chance.random() < self.missing:
            return None
        return number + 1 + self.lag + (chance.randrange(self.spread + 1) if self.spread else 0)


AT_ONCE = Delivery()


class Step(NamedTuple):
    """What a policy did at one query.

    Attributes:
        weights: how much it relied on each arm.
        choice: whom it asked.
        answer: what it made of their outputs.
        loss: that of the answer.
        arm_losses: those of the arms, whether or not they were asked.
        regret: how much more those that may be asked lose on average, by the weights, than the best of them; 0 where
            that is not known.
    """

    weights: Mapping[str, float]
    choice: Choice
    answer: Combination
    loss: float
    arm_losses: Mapping[str, float]
    regret: float = 0.0


class History(NamedTuple):
    """What came of a policy.

    Attributes:
        steps: one for each query.
        states: what was learned in the end, by context.
    """

    steps: list[Step]
    states: dict[str, State]

    def mean_loss(self, start: int = 0, stop: int | None = None) -> float:
        """The mean loss of the answers to some of the queries."""
        return fmean(step.loss for step in self.steps[start:stop])

    def regret(self) -> float:
        """How many more answers were wrong on average than by asking, each time, the arm that was best then."""
        return fsum(step.regret for step in self.steps)

    def best_arm_loss(self) -> float:
        """The mean loss of the arm that would have been the best to ask always."""
        return min(fmean(step.arm_losses[arm] for step in self.steps) for arm in self.steps[0].weights)

    def mean_weight(self, arm: str, start: int = 0, stop: int | None = None) -> float:
        """How much the policy relied on an arm during some of the queries."""
        return fmean(step.weights.get(arm, 0.0) for step in self.steps[start:stop])

    def queries_to_leave(self, arm: str, start: int, window: int = 100) -> int:
        """How long after query `start` an arm had, for the first time, less than half of the weight over a window.

        The last window is taken for the first if it never had.
        """
        stops = range(start + window, len(self.steps))
        left = (stop for stop in stops if self.mean_weight(arm, stop - window, stop) < 0.5)
        return next(left, len(self.steps)) - start


def play(
    policy: SelectionPolicy,
    arms: Sequence[str],
    world: World,
    queries: int,
    seed: int,
    *,
    loss: Loss = zero_one,
    per_context: bool = True,
    delivery: Delivery = AT_ONCE,
) -> History:
    """Asks a policy, and gives it feedback on each answer: before it is asked again, unless `delivery` says otherwise.

    Args:
        policy: the policy.
        arms: the models.
        world: what they say.
        queries: how many.
        seed: decides on all chance.
        loss: how wrong an output is, from the label and the output.
        per_context: whether each context has a state of its own.
        delivery: when feedback comes.
    """
    store = SimulatedStore()
    application = Application(
        "world", InputType.DOUBLES, _DEFAULT.output, 1_000_000, tuple(arms), selection_policy="any", loss=loss.kind
    )
    selector = Selector(application, policy)
    route = Route(application, {}, selector)
    world_chance, policy_chance, chance = (Random(f"{what} {seed}") for what in ("world", "policy", "delivery"))
    steps = []
    told: list[tuple[int, int, PredictionRecord, str]] = []
    for number in range(queries):
        turn = world(number, world_chance)
        while told and told[0][0] <= number:
            *_, known, label = heappop(told)
            _tell(route, selector, known, label, store)
        key = selector.key(turn.context if per_context else "")
        state = store.states.get(key) or selector.begin(store.states.get(selector.key(""), {}))
        step = _step(policy, state, arms, turn, loss, policy_chance)
        steps.append(step)
        outputs = {arm: turn.outputs[arm] for arm in step.choice.arms if arm in turn.outputs}
        chosen, probability = step.choice
        record = PredictionRecord(
            key,
            number,
            probability,
            outputs,
            step.answer.output,
            not outputs,
            chosen,
            turn.features,
            policy.note(state),
            turn.away,
        )
        due = delivery.due(number, chance)
        if due is not None:
            heappush(told, (due, number, record, turn.label))
    for *_, known, label in sorted(told):
        _tell(route, selector, known, label, store)
    return History(steps, {key.context: state for key, state in store.states.items()})


def _tell(route: Route, selector: Selector, prediction: PredictionRecord, label: str, store: SimulatedStore) -> None:
    """Gives feedback on an answer, of which the engine makes a lesson."""
    item = FeedbackItem(query_id=prediction.query_id, label=label)
    (feedback,) = FeedbackRequest(route, [item], 0, NOBODY).feedback
    feedback.teach(selector, prediction, 0, selector.begin(store.states.get(selector.key(""), {})))
    if feedback.lesson is not None:
        outcome = store.learn(feedback.lesson)
        if outcome.error is not None:
            raise outcome.error


def _step(
    policy: SelectionPolicy, state: State, arms: Sequence[str], turn: Turn, loss: Loss, policy_chance: Random
) -> Step:
    awake = [arm for arm in arms if arm not in turn.away]
    choice = policy.select(state, awake, turn.features, policy_chance)
    outputs = {arm: turn.outputs[arm] for arm in choice.arms if arm in turn.outputs}
    answer = policy.combine(state, arms, outputs) if outputs else _DEFAULT
    arm_losses = {arm: loss(turn.label, turn.outputs[arm]) if arm in turn.outputs else 1.0 for arm in arms}
    weights = policy.weights(state, awake)
    regret = 0.0
    if turn.expected:
        expected = {arm: turn.expected.get(arm, 1.0) for arm in awake}
        regret = fsum(weights[arm] * expected[arm] for arm in awake) - min(expected.values())
    return Step(weights, choice, answer, loss(turn.label, answer.output), arm_losses, regret)

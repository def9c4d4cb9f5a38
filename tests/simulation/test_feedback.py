"""Feedback under load and failure, through the real engine; the referee fails a run that leaves any unanswered."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from random import Random

import pytest

from services.common.lessons import FeedbackStatus
from services.common.selection_records import PredictionRecord
from services.query.engine.feedback import FeedbackItem, FeedbackRequest
from services.query.engine.policies.policy import Choice, SelectionPolicy, State
from services.query.engine.policies.policy import Observation as Observed
from simulation.bandits import Turn, play
from simulation.loads import Load, poisson
from simulation.replicas import ServiceTime
from simulation.simulator import Simulator

_SLO_S = 0.1
_SERVICE_TIME = ServiceTime(fixed_s=0.001, per_input_s=0.0001, noise=0.1)

every_seed = pytest.mark.parametrize("seed", range(2))


class _Telling:
    """Clients who tell of each answer after a while how good it was; `statuses` counts what became of that."""

    def __init__(self, simulator: Simulator, after_s: float) -> None:
        self.told = 0
        self.statuses: Counter[FeedbackStatus] = Counter()
        self._simulator = simulator
        self._after_s = after_s
        simulator.on_prediction = self._predicted
        simulator.on_taught = self._taught

    def _predicted(self, prediction: PredictionRecord) -> None:
        self.told += 1
        item = FeedbackItem(query_id=prediction.query_id, reward=float("a" in prediction.chosen))
        self._simulator.after(self._after_s, partial(self._tell, item))

    def _tell(self, item: FeedbackItem) -> None:
        self._simulator.tell(self._simulator.engine.routes["app"], item)

    def _taught(self, request: FeedbackRequest) -> None:
        self.statuses.update(request.statuses)


def _choosing(policy: str, seed: int, **attributes: float) -> Simulator:
    simulator = Simulator(seed)
    simulator.add_application("app", "a", _SLO_S, others=("b", "c"), selection_policy=policy, **attributes)
    for model in "abc":
        simulator.add_version(model, "1")
        simulator.add_replica(model, "1", 0, _SERVICE_TIME)
    return simulator


@every_seed
@pytest.mark.parametrize("policy", ["exp3", "exp4"])
@pytest.mark.parametrize("after_s", [0.005, 6.0], ids=["at once", "later"])
def test_all_feedback_is_learned_whether_the_engine_or_the_store_knows_the_prediction(
    policy: str, after_s: float, seed: int
) -> None:
    simulator = _choosing(policy, seed)
    telling = _Telling(simulator, after_s)
    simulator.offer(Load("app", poisson(500), 1.0, contexts=10))
    simulator.run()
    assert telling.statuses == {FeedbackStatus.LEARNED: telling.told}
    assert telling.told > 300


@every_seed
def test_feedback_after_the_window_is_on_unknown_queries(seed: int) -> None:
    simulator = _choosing("exp3", seed, feedback_window_s=1)
    telling = _Telling(simulator, 1.2)
    simulator.offer(Load("app", poisson(200), 1.0))
    simulator.run()
    assert telling.statuses == {FeedbackStatus.UNKNOWN_QUERY: telling.told}


@every_seed
def test_while_the_store_is_slow_or_away_all_feedback_is_answered(seed: int) -> None:
    simulator = _choosing("exp3", seed)
    telling = _Telling(simulator, 0.01)
    simulator.offer(Load("app", poisson(500), 3.0, contexts=10))
    simulator.at(0.5, partial(setattr, simulator, "read_s", 0.5))
    simulator.at(1.0, partial(setattr, simulator, "read_s", math.inf))
    simulator.at(2.5, partial(setattr, simulator, "read_s", 0.001))
    simulator.run()
    assert telling.statuses.total() == telling.told
    assert set(telling.statuses) == {FeedbackStatus.LEARNED, FeedbackStatus.UNAVAILABLE}


@every_seed
def test_feedback_on_inputs_is_answered_while_models_die(seed: int) -> None:
    simulator = _choosing("exp4", seed)
    statuses: Counter[FeedbackStatus] = Counter()
    simulator.on_taught = lambda request: statuses.update(request.statuses)
    route = simulator.engine.routes["app"]
    for number in range(200):
        item = FeedbackItem(input=b"good %d" % number, label="1")
        simulator.at(0.1 + number / 100, partial(simulator.tell, route, item))
    for turn, model in enumerate("abc"):
        simulator.at(0.5 + turn / 10, partial(simulator.crash_replica, f"{model}:1:0", down_s=0.5))
    simulator.run()
    assert statuses.total() == 200
    assert statuses[FeedbackStatus.LEARNED] > 100
    assert set(statuses) == {FeedbackStatus.LEARNED, FeedbackStatus.FAILED}


class _Duo(SelectionPolicy):
    """Asks the first two; remembers what each was charged."""

    def select(self, state: State, arms: Sequence[str], features: Sequence[float], random: Random) -> Choice:
        """The first two."""
        return Choice(tuple(arms[:2]), 1.0)

    def observe(self, state: State, arms: Sequence[str], observation: Observed) -> State:
        """Their losses."""
        return dict(observation.losses)

    def weights(self, state: State, arms: Sequence[str]) -> Mapping[str, float]:
        """The same for each."""
        return dict.fromkeys(arms, 1 / len(arms))


class _Everybody(_Duo):
    """Asks all."""

    asks_all = True


@pytest.mark.parametrize(
    ("policy", "outputs", "charged"),
    [
        (_Duo, {"a": "1", "b": "2"}, {"a": 0.0, "b": 1.0}),
        (_Duo, {"a": "1"}, {"a": 0.0}),
        (_Duo, {}, {"a": 1.0, "b": 1.0}),
        (_Everybody, {}, {}),
    ],
)
def test_arms_are_charged_as_in_the_query_service(
    policy: type[_Duo], outputs: Mapping[str, str], charged: Mapping[str, float]
) -> None:
    history = play(policy({}), ["a", "b"], lambda _number, _chance: Turn("1", outputs), queries=1, seed=1)
    assert history.states[""] == charged

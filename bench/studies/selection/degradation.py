"""Figure 8 of the paper: the best of five classifiers degrades for a while, and policies that learn do without it."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from statistics import median

import numpy as np

from bench.rig.bench import Bench
from bench.rig.client import Client, Prediction, check_learned
from bench.rig.errors import BenchmarkError
from bench.rig.models import Images, Model
from bench.rig.report import Check, Finding
from bench.studies.selection import digits, plots
from services.query.engine.policies.policy import Choice, Combination
from simulation.bandits import History, Step, zero_one

_POLICIES = ("exp3", "exp4")
_QUERIES = 20_000
_DEGRADED, _RESTORED = 0.25, 0.5
_SLO_S = 1.0
_SEED = 1
_LONGEST_LEAVE = 500
# Over so many queries a model must have less than half of the weight to count as left.
_WINDOW = 50
_FILE = "selection-degradation.svg"


@dataclass(frozen=True, slots=True)
class Stream:
    """What is asked.

    Attributes:
        inputs: pixels, and behind them 1.0 where the best model is to misbehave.
        labels: what the images show.
        outputs: what each model says to each input.
        degraded, restored: the first query that the best model misbehaves at, and the first that it does not.
    """

    inputs: Images
    labels: Sequence[str]
    outputs: Mapping[str, Sequence[str]]
    degraded: int
    restored: int


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one policy.

    Attributes:
        losses: of each answer.
        best_weight: the weight of the best model at each query.
        queries_to_leave: after how many queries it was left when it had become bad.
        predict_s, learn_s: medians of the times that a prediction and its feedback took the client.
    """

    losses: Sequence[float]
    best_weight: Sequence[float]
    queries_to_leave: int
    predict_s: float
    learn_s: float

    @property
    def queries(self) -> int:
        """How many there were."""
        return len(self.losses)

    @property
    def error(self) -> float:
        """The mean loss."""
        return float(np.mean(self.losses))


@dataclass(frozen=True, slots=True)
class Degradation(Finding):
    """What was found.

    Attributes:
        best: the model that degrades.
        degraded, restored: from which query to which.
        singles: the losses of each model alone.
        runs: by policy.
    """

    best: str
    degraded: int
    restored: int
    singles: Mapping[str, Sequence[float]]
    runs: Mapping[str, Run]

    def checks(self) -> list[Check]:
        """The ceilings."""
        _, best_error = self.best_single
        leaves = [
            Check(f"{policy}: queries until the degraded model is left", run.queries_to_leave, most=_LONGEST_LEAVE)
            for policy, run in self.runs.items()
        ]
        exp3, exp4 = (self.runs[policy].error for policy in _POLICIES)
        return [
            *leaves,
            Check("exp4's error against the best single model's", exp4 / best_error, most=1.0),
            Check("exp4's error against exp3's", exp4 / exp3, most=1.0),
        ]

    @property
    def errors(self) -> list[tuple[str, list[float]]]:
        """Of everybody who answers: in all, before, while the best model was degraded, and afterwards."""
        losses = {f"{name} alone": losses for name, losses in self.singles.items()}
        losses |= {f"**{policy}**": run.losses for policy, run in self.runs.items()}
        bounds = ((0, None), (0, self.degraded), (self.degraded, self.restored), (self.restored, None))
        return [(who, [float(np.mean(each[slice(*bound)])) for bound in bounds]) for who, each in losses.items()]

    def draw(self, directory: Path) -> None:
        """The error so far, and the weight of the model that degrades."""
        with plots.figure(directory / _FILE, panels=2) as (errors, weights):
            for name, losses in self.singles.items():
                errors.plot(*plots.thinned(_so_far(losses)), label=f"{name} alone", linestyle="--")
            for policy, run in self.runs.items():
                errors.plot(*plots.thinned(_so_far(run.losses)), label=policy, linewidth=plots.BOLD)
                weights.plot(*plots.thinned(run.best_weight), label=policy)
            for axes in (errors, weights):
                axes.axvspan(self.degraded, self.restored, color="0.9", label=f"{self.best} is degraded")
                axes.set_xlabel("queries")
            errors.set(ylabel="error so far", ylim=(0.0, 0.75))
            weights.set(ylabel=f"weight of {self.best}", ylim=(0.0, 1.0))
            errors.legend(ncols=3, fontsize=8)
            weights.legend(loc="lower right")

    @property
    def best_single(self) -> tuple[str, float]:
        """The model that errs least, and how much it does."""
        errors = {name: float(np.mean(losses)) for name, losses in self.singles.items()}
        best = min(errors, key=lambda name: errors[name])
        return best, errors[best]


def measure(bench: Bench) -> Degradation:
    """Asks both policies about the same images, one after the other, with feedback on each answer.

    Raises:
        BenchmarkError: a container says something else than its model does here.
    """
    queries, cluster = bench.amount(_QUERIES), bench.cluster
    *others, last = digits.classifiers()
    best = last.name
    models = [*others, _degrading(last)]
    stream = _stream(models, queries)
    with ExitStack() as stack:
        stack.enter_context(cluster.serving(*models))
        clients = []
        for policy in _POLICIES:
            application = stack.enter_context(cluster.application(policy, models, _SLO_S, policy))
            clients.append(stack.enter_context(Client(cluster.query.address, application)))
        turns = [_asked(clients, stream, number) for number in range(queries)]
    runs = {}
    for policy, steps in zip(_POLICIES, zip(*turns, strict=True), strict=True):
        runs[policy] = _run([turn.step for turn in steps], steps, best, stream)
    singles = {name: _losses(stream.labels, outputs) for name, outputs in stream.outputs.items()}
    return Degradation(best, stream.degraded, stream.restored, singles, runs)


@dataclass(frozen=True, slots=True)
class _Turn:
    step: Step
    predict_s: float
    learn_s: float


def _asked(clients: Sequence[Client], stream: Stream, number: int) -> list[_Turn]:
    """One query of every client's, and its feedback; the clients' go side by side."""
    inputs, label = stream.inputs[number : number + 1], stream.labels[number]
    asked_s = time.perf_counter()
    predicting = [client.predicting(inputs, explain=True) for client in clients]
    predictions, predict_s = [], []
    for future in predicting:
        predictions.append(future.result().predictions[0])
        predict_s.append(time.perf_counter() - asked_s)
    told_s = time.perf_counter()
    learning = [
        client.learning(prediction.query_id, label) for client, prediction in zip(clients, predictions, strict=True)
    ]
    learn_s = []
    for told in learning:
        check_learned(told)
        learn_s.append(time.perf_counter() - told_s)
    outputs = {name: said[number] for name, said in stream.outputs.items()}
    steps = [_step(prediction, outputs, label) for prediction in predictions]
    return [_Turn(*turn) for turn in zip(steps, predict_s, learn_s, strict=True)]


def _step(prediction: Prediction, outputs: Mapping[str, str], label: str) -> Step:
    arms = prediction.selection.arms
    for arm in arms:
        if arm.HasField("output") and arm.output != outputs[arm.model]:
            raise BenchmarkError(f"{arm.model} answered {arm.output} where it says {outputs[arm.model]} here")
    return Step(
        weights={arm.model: arm.weight for arm in arms},
        choice=Choice(tuple(arm.model for arm in arms if arm.asked), prediction.selection.probability),
        answer=Combination(prediction.output, prediction.confidence),
        loss=zero_one(label, prediction.output),
        arm_losses={name: zero_one(label, output) for name, output in outputs.items()},
    )


def _run(steps: list[Step], turns: Sequence[_Turn], best: str, stream: Stream) -> Run:
    return Run(
        losses=[step.loss for step in steps],
        best_weight=[step.weights[best] for step in steps],
        queries_to_leave=History(steps, {}).queries_to_leave(best, stream.degraded, _WINDOW),
        predict_s=median(turn.predict_s for turn in turns),
        learn_s=median(turn.learn_s for turn in turns),
    )


def _stream(models: Sequence[Model], count: int) -> Stream:
    asked = digits.queries(count, _SEED)
    degraded, restored = round(_DEGRADED * count), round(_RESTORED * count)
    marks = np.zeros((count, 1))
    marks[degraded:restored] = 1.0
    inputs = np.hstack((asked.images, marks))
    outputs = {model.name: model.outputs(inputs) for model in models}
    return Stream(inputs, asked.labels, outputs, degraded, restored)


def _degrading(model: Model) -> Model:
    """The same model, which guesses where an input's last number says so."""
    classify = model.function

    def classify_or_guess(inputs: Images) -> list[int]:
        guesses = np.abs(inputs[:, 0] * 1e6).astype(int) % 10
        return [
            int(guess) if mark else said
            for said, guess, mark in zip(classify(inputs), guesses, inputs[:, -1], strict=True)
        ]

    return Model(model.name, classify_or_guess, model.packages)


def _losses(labels: Sequence[str], outputs: Sequence[str]) -> list[float]:
    return [zero_one(label, output) for label, output in zip(labels, outputs, strict=True)]


def _so_far(losses: Sequence[float]) -> list[float]:
    return [total / count for count, total in enumerate(accumulate(losses), 1)]

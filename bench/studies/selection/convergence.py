"""The setting of the paper's authors' notebook, simulated: how soon the weight is on the best of five classifiers."""

import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bench.rig.bench import Bench
from bench.rig.report import Check, Finding
from bench.studies.selection import plots
from services.query.engine.policies.registry import load
from simulation.bandits import classifiers, play

_RUNS = 100
_ACCURACIES = {"a": 0.7575, "b": 0.654, "c": 0.832, "d": 0.54, "e": 0.9085}
_BEST = "e"
_POLICIES = ("exp3", "exp4")
_QUERIES = 2_000
_TOLD = (250, 500, 1_000, 2_000)
_ETA = 0.1
_LEAST_WEIGHT = 0.95
_FILE = "selection-convergence.svg"


@dataclass(frozen=True, slots=True)
class Convergence(Finding):
    """What was found.

    Attributes:
        runs: how many there were of each policy.
        weights: of the best model at each query, the mean over the runs, by policy.
        finals: in the end, of each run.
    """

    runs: int
    weights: Mapping[str, Sequence[float]]
    finals: Mapping[str, Sequence[float]]

    def checks(self) -> list[Check]:
        """The floors."""
        return [
            Check(
                f"{policy}: weight on the best after {_QUERIES:,} queries, median", _median(finals), least=_LEAST_WEIGHT
            )
            for policy, finals in self.finals.items()
        ]

    @property
    def rows(self) -> list[tuple[str, list[float], float]]:
        """Of each policy: the mean weight after some numbers of queries, and the median in the end."""
        return [
            (policy, [weights[count - 1] for count in _TOLD], _median(self.finals[policy]))
            for policy, weights in self.weights.items()
        ]

    def draw(self, directory: Path) -> None:
        """The weight of the best over time."""
        with plots.figure(directory / _FILE) as (axes,):
            for policy, weights in self.weights.items():
                axes.plot(*plots.thinned(weights), label=policy, linewidth=plots.BOLD)
            axes.set(xlabel="queries", ylabel="weight of the best model, mean", ylim=(0.0, 1.0))
            axes.legend(loc="lower right")


def measure(bench: Bench) -> Convergence:
    """Plays each policy so many times."""
    runs = bench.amount(_RUNS)
    # Not by forking, which threads of gRPC do not survive.
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as processes:
        played = {
            policy: np.array(list(processes.map(partial(_weights_of_best, policy), range(runs))))
            for policy in _POLICIES
        }
    return Convergence(
        runs,
        {policy: weights.mean(axis=0).tolist() for policy, weights in played.items()},
        {policy: weights[:, -1].tolist() for policy, weights in played.items()},
    )


def _weights_of_best(policy: str, seed: int) -> list[float]:
    """At each query of a run."""
    history = play(load(policy)({"eta": _ETA}), list(_ACCURACIES), classifiers(_ACCURACIES), _QUERIES, seed)
    return [step.weights[_BEST] for step in history.steps]


def _median(finals: Sequence[float]) -> float:
    return float(np.median(finals))

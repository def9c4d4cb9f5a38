"""Figure 7 of the paper: five classifiers vote, and how many of them agree tells how far to trust the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from clipper.v1 import query_service_pb2

from bench.rig.bench import Bench
from bench.rig.client import Client, Prediction
from bench.rig.cluster import DEFAULT_OUTPUT
from bench.rig.errors import BenchmarkError
from bench.rig.report import Check, Finding
from bench.studies.selection import digits, plots
from bench.studies.selection.digits import Labelled

_QUERIES = 5_000
_MODELS = 5
_THRESHOLD = 0.8
_AT_ONCE = 50
_SLO_S = 2.0
_SEED = 2
_FILE = "selection-agreement.svg"


@dataclass(frozen=True, slots=True)
class Subset:
    """Answers that at least so many models agree with.

    Attributes:
        agreeing: how many.
        share: which part of the answers these are.
        error: how many of these are wrong.
        rest_error: how many of the others are wrong.
    """

    agreeing: int
    share: float
    error: float
    rest_error: float


@dataclass(frozen=True, slots=True)
class Agreement(Finding):
    """What was found.

    Attributes:
        queries: how many images were asked about.
        singles: the error of each model alone.
        ensemble: the error of their vote.
        subsets: of the most agreeing answers.
        defaults: the share of default outputs where the application has a confidence threshold.
        kept_error: the error of its other answers.
        misplaced_defaults: how many of its answers are default outputs though enough models agree, or are not though
            too few do.
    """

    queries: int
    singles: Mapping[str, float]
    ensemble: float
    subsets: Sequence[Subset]
    defaults: float
    kept_error: float
    misplaced_defaults: int

    def checks(self) -> list[Check]:
        four, five = self.subsets
        return [
            Check(
                "the vote's error against the best single model's", self.ensemble / min(self.singles.values()), most=1.0
            ),
            Check("error where 4 agree, against the vote's", four.error / self.ensemble, most=0.6),
            Check("error where 5 agree, against that where 4 do", five.error / four.error, most=0.6),
            Check("queries wrongly answered with, or without, the default output", self.misplaced_defaults, most=0.0),
        ]

    def draw(self, directory: Path) -> None:
        """Errors as bars."""
        with plots.figure(directory / _FILE) as (axes,):
            bars = {**self.singles, "vote": self.ensemble}
            bars |= {f"≥ {each.agreeing} agree\n({each.share:.0%})": each.error for each in self.subsets}
            colours = ["0.75"] * len(self.singles) + ["C0", "C1", "C2"]
            drawn = axes.bar(list(bars), list(bars.values()), color=colours)
            axes.bar_label(drawn, [f"{error:.1%}" for error in bars.values()], fontsize=8)
            axes.tick_params(axis="x", labelsize=7)
            axes.set_ylabel("error")


def measure(bench: Bench) -> Agreement:
    """Asks two applications, of which one holds back what fewer than four models agree with.

    Raises:
        BenchmarkError: the vote is not that of what the models say here.
    """
    queries, cluster = bench.amount(_QUERIES), bench.cluster
    models = digits.classifiers()
    asked = digits.queries(queries, _SEED)
    outputs = {model.name: model.outputs(asked.images) for model in models}
    with (
        cluster.serving(*models),
        cluster.application("voting", models, _SLO_S, "majority") as voting,
        cluster.application("careful", models, _SLO_S, "majority", confidence_threshold=_THRESHOLD) as careful,
    ):
        votes, kept = (_answers(cluster.query.address, application, asked) for application in (voting, careful))
    agreeing = np.array([round(vote.confidence * _MODELS) for vote in votes])
    for place, vote in enumerate(votes):
        if agreeing[place] != sum(said[place] == vote.output for said in outputs.values()):
            raise BenchmarkError(f"{vote} is not what {[said[place] for said in outputs.values()]} agree on")
    wrong = np.array([vote.output != label for vote, label in zip(votes, asked.labels, strict=True)])
    is_default = _defaults(kept)
    return Agreement(
        queries=queries,
        singles={name: _error(said, asked.labels) for name, said in outputs.items()},
        ensemble=float(wrong.mean()),
        subsets=[
            Subset(
                agreeing=least,
                share=float((agreeing >= least).mean()),
                error=float(wrong[agreeing >= least].mean()),
                rest_error=float(wrong[agreeing < least].mean()),
            )
            for least in (_MODELS - 1, _MODELS)
        ],
        defaults=float(is_default.mean()),
        kept_error=float(wrong[~is_default].mean()),
        misplaced_defaults=int((is_default != (agreeing < _MODELS - 1)).sum()),
    )


def _answers(address: str, application: str, asked: Labelled) -> list[Prediction]:
    with Client(address, application) as client:
        starts = range(0, len(asked.images), _AT_ONCE)
        return [answer for start in starts for answer in client.predict(asked.images[start : start + _AT_ONCE])]


def _defaults(answers: Sequence[Prediction]) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    for answer in answers:
        if answer.is_default and (
            answer.default_reason != query_service_pb2.DEFAULT_REASON_LOW_CONFIDENCE or answer.output != DEFAULT_OUTPUT
        ):
            raise BenchmarkError(f"a default output for another reason: {answer}")
    return np.array([answer.is_default for answer in answers])


def _error(outputs: Sequence[str], labels: Sequence[str]) -> float:
    return float(np.mean([output != label for output, label in zip(outputs, labels, strict=True)]))

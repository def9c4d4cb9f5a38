"""What a model costs that is deployed as its framework has trained it, beside the same one as a function and as ONNX.

It trains and deploys, so that the interpreter that runs it has the frameworks: bench/README.md says how.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from clipper.v1 import query_service_pb2
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from bench.rig import counters, load, payloads
from bench.rig.bench import Bench
from bench.rig.cluster import INPUT_TYPE
from bench.rig.errors import BenchmarkError
from bench.rig.lanes import in_turn
from bench.rig.models import Model
from bench.rig.processes import cpu_s, resident_bytes
from bench.rig.report import Finding
from bench.rig.statistics import Ratio
from clipper_admin import ClipperConnection
from clipper_admin.deployers import lightgbm, onnx, python, sklearn, xgboost

_PACKAGES = (
    "lightgbm==4.7.0",
    "onnxruntime==1.32.0",
    "scikit-learn==1.9.1",
    "skl2onnx==1.20.0",
    "skops==0.16.0",
    "xgboost-cpu==3.2.0",
)
_EXAMPLES = 1_000
_VECTORS_A_CALL = 64
_IN_FLIGHT = 4
_WARM_UP_S = 1.0
_SECONDS = 3.0
_ROUNDS = 3
_STARTS = 5
_SLO_S = 2.0
_MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Way:
    """One way to deploy a model.

    Attributes:
        model: what the model is.
        title: what the way is.
        modules: what its container imports.
        deploy: does it, under a name.
    """

    model: str
    title: str
    modules: str
    deploy: Callable[[ClipperConnection, str], object]

    @property
    def name(self) -> str:
        """That of its model and application."""
        return f"{self.model}-{self.title}".lower().replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Sample:
    """What one measurement found.

    Attributes:
        predictions_per_s: the rate.
        container_micros: microseconds of the container's processor time for each prediction.
    """

    predictions_per_s: float
    container_micros: float


@dataclass(frozen=True, slots=True)
class Row:
    """What was found of one way.

    Attributes:
        model: what the model is.
        title: what the way is.
        deploy_s: from the call to its return, with an environment that was there.
        import_s: what importing its modules takes, once they are in the disk's cache.
        resident_bytes: of a replica, after the load.
        rate: predictions a second, the median of the rounds.
        times_as_fast: as the first way of this model, within rounds.
        container_micros: as of a sample, likewise.
    """

    model: str
    title: str
    deploy_s: float
    import_s: float
    resident_bytes: int
    rate: float
    times_as_fast: float
    container_micros: float

    @property
    def mebibytes(self) -> float:
        return self.resident_bytes / _MEBIBYTE


@dataclass(frozen=True, slots=True)
class Deployers(Finding):
    """What was found: a row for each way."""

    rows: Sequence[Row]


def measure(bench: Bench) -> Deployers:
    """Deploys each model in each way and asks all of them in turn; BenchmarkError when one answers with a default."""
    ways = _ways()
    message = _message()
    with ExitStack() as stack:
        deploy_s = {way.name: stack.enter_context(_deployed(bench, way)) for way in ways}
        for way in ways:
            stack.enter_context(bench.cluster.application(way.name, [_named(way)], _SLO_S, use_cache=False))
        samples = in_turn({way.name: partial(_sample, bench, way, message) for way in ways}, bench.rounds(_ROUNDS))
        sizes = {way.name: resident_bytes(_container(bench, way)) for way in ways}
    imports = {way.modules: _import_s(way.modules, bench.rounds(_STARTS)) for way in ways}
    return Deployers([_row(way, ways, deploy_s, imports, sizes, samples) for way in ways])


def _ways() -> list[Way]:
    """All of them, those of one model together, its own deployer first."""
    import lightgbm as lgb
    import xgboost as xgb
    from skl2onnx import to_onnx

    images, digits = (each[:_EXAMPLES] for each in load_digits(return_X_y=True))
    network = MLPClassifier((32,), max_iter=200, random_state=0).fit(images, digits)
    boosted = xgb.XGBClassifier(n_estimators=30, max_depth=3).fit(images, digits)
    light = lgb.LGBMClassifier(n_estimators=30, verbose=-1).fit(images, digits)
    converted = to_onnx(network, images[:1].astype(np.float32), options={"zipmap": False})
    options: Any = {"pkgs_to_install": _PACKAGES, "env": {"OMP_NUM_THREADS": "1"}}

    def way(model: str, title: str, modules: str, deploy: Callable[..., Any], deployed: Any) -> Way:
        return Way(
            model,
            title,
            modules,
            lambda connection, name: deploy(connection, name, 1, INPUT_TYPE, deployed, **options),
        )

    closure = python.deploy_python_closure
    return [
        way("perceptron", "sklearn", "skops.io, sklearn.neural_network", sklearn.deploy_sklearn_model, network),
        way("perceptron", "function", "sklearn.neural_network", closure, network.predict),
        way("perceptron", "onnx", "onnxruntime", onnx.deploy_onnx_model, converted),
        way("trees", "xgboost", "xgboost, sklearn", xgboost.deploy_xgboost_model, boosted),
        way("trees", "function", "xgboost, sklearn", closure, boosted.predict),
        way("light trees", "lightgbm", "lightgbm", lightgbm.deploy_lightgbm_model, light),
        way("light trees", "function", "lightgbm, sklearn", closure, light.predict),
    ]


def _named(way: Way) -> Model:
    return Model(way.name, lambda inputs: [])


@contextmanager
def _deployed(bench: Bench, way: Way) -> Iterator[float]:
    """Has a model served in a way; in how many seconds it was deployed."""
    began_s = time.monotonic()
    with bench.cluster.deployed(way.name, lambda connection: way.deploy(connection, way.name)):
        yield time.monotonic() - began_s


def _message() -> Callable[[str], bytes]:
    packed = payloads.packed(load_digits().data[-_VECTORS_A_CALL:])
    return lambda application: query_service_pb2.PredictRequest(
        application=application, inputs=packed
    ).SerializeToString()


def _sample(bench: Bench, way: Way, message: Callable[[str], bytes]) -> Sample:
    address = bench.cluster.query.address
    generator = load.native(address, payloads.PREDICT, [message(way.name)], _IN_FLIGHT, bench.directory())
    container, read_counters = _container(bench, way), counters.reader(bench.cluster.query.metrics, way.name)
    generator.run(_WARM_UP_S)
    before, used_before_s = read_counters(), cpu_s([container])
    done = generator.run(bench.seconds(_SECONDS))
    used_s, counted = cpu_s([container]) - used_before_s, read_counters() - before
    if counted.defaults:
        raise BenchmarkError(f"{counted.defaults} predictions of {way.name} were default outputs")
    return Sample(done.calls_per_s * _VECTORS_A_CALL, used_s / (done.calls * _VECTORS_A_CALL) * 1e6)


def _container(bench: Bench, way: Way) -> int:
    [container] = bench.cluster.containers([_named(way)])
    return container


def _import_s(modules: str, times: int) -> float:
    """The median time by which a start of Python with these modules exceeds one with numpy, which every model has."""
    return _start_s(f"numpy, {modules}", times) - _start_s("numpy", times)


def _start_s(modules: str, times: int) -> float:
    took_s = []
    for _ in range(times):
        began_s = time.monotonic()
        subprocess.run((sys.executable, "-c", f"import {modules}"), check=True)
        took_s.append(time.monotonic() - began_s)
    return median(took_s)


def _row(
    way: Way,
    ways: Sequence[Way],
    deploy_s: Mapping[str, float],
    imports: Mapping[str, float],
    sizes: Mapping[str, int],
    samples: Mapping[str, Sequence[Sample]],
) -> Row:
    rates = {name: [sample.predictions_per_s for sample in each] for name, each in samples.items()}
    first = next(each for each in ways if each.model == way.model)
    return Row(
        way.model,
        way.title,
        deploy_s[way.name],
        imports[way.modules],
        sizes[way.name],
        median(rates[way.name]),
        Ratio.of(rates[first.name], rates[way.name]).median,
        median(sample.container_micros for sample in samples[way.name]),
    )

"""All studies, by name; where a name has a dot, what stands before it names them all."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Protocol

from bench.rig.bench import Bench
from bench.rig.processes import REPOSITORY
from bench.rig.report import Finding
from bench.studies import cache_policies, compare, cores, overload, simulation
from bench.studies.floors import memory, rates
from bench.studies.selection import agreement, bookkeeping, convergence, degradation, personalization, stragglers
from bench.studies.slo import batching, caching, delay, engine_cost, scaling, tenants
from bench.studies.slo import overload as slo_overload
from bench.studies.soak import growth

_DOCS = REPOSITORY / "docs"
_BENCHMARKS, _SLO, _SELECTION, _RELIABILITY = (
    _DOCS / f"{name}.md" for name in ("benchmarks", "slo", "selection", "reliability")
)


class Module(Protocol):
    """A study's module; the words of its section are in a file of its name that ends with ".md"."""

    __name__: str

    def measure(self, bench: Bench) -> Finding:
        """Measures; BenchmarkError when the figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Study:
    """Something to measure.

    Attributes:
        name: its name on the command line.
        measure: does it.
        template: the words of its section.
        page: where that is; None: only printed.
    """

    name: str
    measure: Callable[[Bench], Finding]
    template: Path
    page: Path | None = None

    @property
    def group(self) -> str:
        """What it can be named by, together with others."""
        return self.name.partition(".")[0]


def _study(name: str, module: Module, page: Path | None = None) -> Study:
    return Study(name, module.measure, _template(module), page)


def _template(module: Module | ModuleType) -> Path:
    return REPOSITORY.joinpath(*module.__name__.split(".")).with_suffix(".md")


STUDIES = (
    _study("floors.rates", rates, _BENCHMARKS),
    _study("floors.memory", memory, _BENCHMARKS),
    _study("slo.models", batching, _SLO),
    _study("slo.overload", slo_overload, _SLO),
    _study("slo.delay", delay, _SLO),
    _study("slo.replicas", scaling, _SLO),
    _study("slo.tenants", tenants, _SLO),
    _study("slo.cache", caching, _SLO),
    _study("slo.engine", engine_cost, _SLO),
    _study("selection.degradation", degradation, _SELECTION),
    _study("selection.convergence", convergence, _SELECTION),
    _study("selection.agreement", agreement, _SELECTION),
    _study("selection.stragglers", stragglers, _SELECTION),
    _study("selection.bookkeeping", bookkeeping, _SELECTION),
    _study("selection.users", personalization, _SELECTION),
    _study("overload", overload, _BENCHMARKS),
    _study("soak", growth, _RELIABILITY),
    _study("cores", cores),
    _study("cache-policies", cache_policies),
    _study("simulation", simulation, _DOCS / "simulation.md"),
)
NAMES = list(dict.fromkeys(name for study in STUDIES for name in (study.group, study.name)))


def comparison(base: Path, changed: Path) -> Study:
    """The study that compares two trees of the repository."""
    return Study("compare", partial(compare.measure, base, changed), _template(compare))


def named(names: Iterable[str]) -> list[Study]:
    """The studies that names, or those of their groups, name; each once."""
    wanted = set(names)
    return [study for study in STUDIES if {study.name, study.group} & wanted]

"""The default policy where life is hard: against who knows all that comes, the other policies, and rules told all."""

from functools import cache

import pytest

from simulation.report import Report
from simulation.scenarios import HALF_OBJECTIVE, REAL_LIFE

# Which batches meet stragglers and noise is chance, and no two policies have the same.
_CHANCE = 0.025
_SEEDS = (1, 2, 3, 4)
_OF_THE_BEST = 0.93
_TITLES = [scenario.title for scenario in REAL_LIFE]
_ALONE = [scenario.title for scenario in REAL_LIFE if scenario.replicas == 1]
_BY_TITLE = {scenario.title: scenario for scenario in REAL_LIFE}


@cache
def _run(title: str, policy: str = "adaptive", seed: int = 1) -> Report:
    return _BY_TITLE[title].run(policy, seed)


@pytest.mark.parametrize("title", _ALONE)
def test_one_replica_answers_nearly_as_many_in_time_as_if_all_that_comes_were_known(title: str) -> None:
    reports = [_run(title, seed=seed) for seed in _SEEDS]
    predicted, asked = (sum(getattr(report.total, what) for report in reports) for what in ("predicted", "asked"))
    # Nobody answers more than are asked; how many fewer could be is found out where that decides.
    if predicted < _OF_THE_BEST * asked:
        assert predicted >= _OF_THE_BEST * sum(_BY_TITLE[title].best(report) for report in reports)


@pytest.mark.parametrize("policy", ["fixed", "aimd", "quantile", HALF_OBJECTIVE])
@pytest.mark.parametrize("title", _TITLES)
def test_no_other_policy_answers_many_more_in_time(title: str, policy: str) -> None:
    # Who is more important counts alone: the rule knows no classes.
    adaptive, other = (
        report.of("main-m0") if _BY_TITLE[title].priority == "high" else report.total
        for report in (_run(title), _run(title, policy))
    )
    assert adaptive.attainment >= other.attainment - _CHANCE

"""A hard maximum for every batch."""

import math

from services.common.names import ADAPTIVE_BATCH_SIZE, InputType
from services.common.records import ModelVersion
from services.query.engine.batching import Fixed, policy_for
from services.query.engine.batching.adaptive import Adaptive
from services.query.engine.batching.aimd import Aimd
from services.query.engine.batching.delayed import Delayed
from services.query.engine.batching.quantile import Quantile
from tests.fixtures.queues import demand, waiting

_SLO_S = 0.1
_DEMAND = demand(_SLO_S)


def _version(batch_size: int = ADAPTIVE_BATCH_SIZE, policy: str = "", delay_micros: int = 0) -> ModelVersion:
    return ModelVersion(
        "m", "1", InputType.BYTES, batch_size=batch_size, batching_policy=policy, batch_delay_micros=delay_micros
    )


def test_a_version_chooses_its_policy_by_name_or_by_its_batch_size() -> None:
    assert isinstance(policy_for(_version(7)), Fixed)
    assert isinstance(policy_for(_version()), Adaptive)
    assert isinstance(policy_for(_version(policy="aimd")), Aimd)
    assert isinstance(policy_for(_version(policy="quantile")), Quantile)
    assert isinstance(policy_for(_version(7, policy="adaptive")), Adaptive)
    assert isinstance(policy_for(_version(delay_micros=2_000)), Delayed)


def test_the_batch_size_caps_a_policy_that_adapts() -> None:
    policy = policy_for(_version(7, policy="aimd"))
    for _ in range(10):
        policy.observe(7, 0.001, _DEMAND)
    assert policy.plan(waiting(*[1.0] * 50), 1, 0.0, 0.0).size == 7


def test_an_idle_replica_takes_what_there_is() -> None:
    assert Fixed(8).plan(waiting(1.0, 1.0), 1, 0.0, 0.0).size == 2


def test_no_batch_is_larger_than_the_limit() -> None:
    plan = Fixed(8).plan(waiting(*[1.0] * 20), 1, 0.0, 0.0)
    assert plan.size == 8
    assert plan.is_full


def test_a_busy_replica_takes_a_further_batch_only_when_it_is_full() -> None:
    assert Fixed(8).plan(waiting(*[1.0] * 7), 1, math.inf, 0.0).size == 0
    assert Fixed(8).plan(waiting(*[1.0] * 8), 1, math.inf, 0.0).size == 8


def test_it_never_adapts() -> None:
    policy = Fixed(7)
    for _ in range(100):
        policy.observe(7, 10.0, _DEMAND)
    assert policy.plan(waiting(*[1.0] * 20), 1, 0.0, 0.0).size == 7

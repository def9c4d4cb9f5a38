"""How long a replica may keep a batch depends on who waits for it and on how slow it is otherwise."""

import pytest

from services.query.engine.patience import Patience
from services.query.engine.versions import Batch
from tests.fixtures.worlds import World


def _batch(size: int = 1, *, slo_s: float = 0.1, longest_s: float | None = None) -> Batch:
    world = World(slo_s=slo_s, batch_size=size)
    world.ask(*(b"%d" % number for number in range(size)))
    (batch,) = world.batches
    if longest_s is not None:
        world.add_application("patient", slo_s=longest_s)
        world.ask(b"patient", application="patient")
        batch.tasks += world.batches[1].tasks
    return batch


def _used_to(busy_s: float, size: int = 1) -> Patience:
    patience = Patience()
    for _ in range(10):
        patience.observe(_batch(size), busy_s)
    return patience


def test_a_fast_replica_is_overdue_after_half_of_the_objective() -> None:
    assert _used_to(0.002).overdue_after_s(_batch(slo_s=1.0)) == pytest.approx(0.5)


def test_no_replica_is_overdue_for_a_delay_that_a_busy_machine_makes() -> None:
    assert _used_to(0.002).overdue_after_s(_batch(slo_s=0.01)) == pytest.approx(0.05)


def test_a_replica_that_is_sometimes_slow_is_overdue_after_longer() -> None:
    patience = _used_to(0.002)
    for _ in range(5):
        patience.observe(_batch(), 0.1)
    for _ in range(20):
        patience.observe(_batch(), 0.002)
    assert 0.25 < patience.overdue_after_s(_batch(slo_s=0.1)) <= 0.3


def test_a_batch_that_is_larger_than_any_before_may_take_longer() -> None:
    assert _used_to(0.02).overdue_after_s(_batch(10)) == pytest.approx(0.6)


def test_of_several_objectives_the_tightest_makes_it_overdue_and_the_longest_frozen() -> None:
    batch = _batch(slo_s=0.2, longest_s=3.0)
    assert _used_to(0.002).overdue_after_s(batch) == pytest.approx(0.1)
    assert _used_to(0.002).frozen_after_s(batch) == pytest.approx(4.0)


def test_before_its_first_answer_a_replica_is_frozen_after_an_objective_and_a_second_and_not_overdue_before() -> None:
    assert Patience().frozen_after_s(_batch()) == Patience().overdue_after_s(_batch()) == pytest.approx(1.1)


def test_a_replica_that_is_always_slow_is_not_frozen() -> None:
    assert _used_to(5.0).frozen_after_s(_batch()) > 10.0


def test_overdue_is_never_later_than_frozen() -> None:
    assert _used_to(0.5).overdue_after_s(_batch(100)) == _used_to(0.5).frozen_after_s(_batch(100))


@pytest.mark.parametrize("first_s", [0.0, 0.002, 30.0], ids=["none", "fast", "cold"])
def test_one_batch_that_lasted_for_ages_does_not_make_it_patient(first_s: float) -> None:
    patience = Patience()
    patience.observe(_batch(), first_s)
    patience.observe(_batch(), 0.002)
    patience.observe(_batch(), 60.0)
    assert patience.frozen_after_s(_batch()) < 10.0
    for _ in range(1_000):
        patience.observe(_batch(), 0.002)
    assert patience.frozen_after_s(_batch()) < 1.5

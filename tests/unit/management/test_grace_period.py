"""When lapsed leases are spared."""

import pytest

from services.management.grace_period import GracePeriod


@pytest.fixture
def grace_period() -> GracePeriod:
    """A grace period for leases of 4 seconds, looked at every second."""
    return GracePeriod(time_to_live_s=4, interval_s=1)


def looks(grace_period: GracePeriod, *times_s: float) -> list[bool]:
    return [grace_period.holds(time_s) for time_s in times_s]


def test_it_holds_for_one_time_to_live_after_the_start(grace_period: GracePeriod) -> None:
    assert looks(grace_period, 100, 101, 102, 103, 104, 105) == [True, True, True, True, False, False]


def test_it_begins_anew_with_the_first_look_after_an_outage(grace_period: GracePeriod) -> None:
    looks(grace_period, 100, 101, 102, 103, 104)
    grace_period.outage()
    grace_period.outage()
    assert looks(grace_period, 110, 111, 112, 113, 114) == [True, True, True, True, False]


def test_an_outage_during_an_grace_period_prolongs_it(grace_period: GracePeriod) -> None:
    looks(grace_period, 100, 101)
    grace_period.outage()
    assert looks(grace_period, 103, 104, 105, 106, 107) == [True, True, True, True, False]


def test_a_pause_of_the_process_counts_as_an_outage(grace_period: GracePeriod) -> None:
    assert looks(grace_period, 100, 101, 102, 103, 104) == [True, True, True, True, False]
    assert looks(grace_period, 107, 108, 109, 110, 111) == [True, True, True, True, False]


def test_a_late_look_does_not(grace_period: GracePeriod) -> None:
    looks(grace_period, 100, 101, 102, 103, 104)
    assert looks(grace_period, 106, 108) == [False, False]

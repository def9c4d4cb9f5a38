"""When lapsed leases are spared."""

import pytest

from services.management.amnesty import Amnesty


@pytest.fixture
def amnesty() -> Amnesty:
    """An amnesty for leases of 4 seconds, looked at every second."""
    return Amnesty(time_to_live_s=4, interval_s=1)


def looks(amnesty: Amnesty, *times_s: float) -> list[bool]:
    return [amnesty.holds(time_s) for time_s in times_s]


def test_it_holds_for_one_time_to_live_after_the_start(amnesty: Amnesty) -> None:
    assert looks(amnesty, 100, 101, 102, 103, 104, 105) == [True, True, True, True, False, False]


def test_it_begins_anew_with_the_first_look_after_an_outage(amnesty: Amnesty) -> None:
    looks(amnesty, 100, 101, 102, 103, 104)
    amnesty.outage()
    amnesty.outage()
    assert looks(amnesty, 110, 111, 112, 113, 114) == [True, True, True, True, False]


def test_an_outage_during_an_amnesty_prolongs_it(amnesty: Amnesty) -> None:
    looks(amnesty, 100, 101)
    amnesty.outage()
    assert looks(amnesty, 103, 104, 105, 106, 107) == [True, True, True, True, False]


def test_a_pause_of_the_process_counts_as_an_outage(amnesty: Amnesty) -> None:
    assert looks(amnesty, 100, 101, 102, 103, 104) == [True, True, True, True, False]
    assert looks(amnesty, 107, 108, 109, 110, 111) == [True, True, True, True, False]


def test_a_late_look_does_not(amnesty: Amnesty) -> None:
    looks(amnesty, 100, 101, 102, 103, 104)
    assert looks(amnesty, 106, 108) == [False, False]

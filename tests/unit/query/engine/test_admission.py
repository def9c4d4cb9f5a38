"""Who is let in, and who is given up, by their age."""

import math
from dataclasses import replace
from typing import Any

import pytest

from services.common.names import InputType
from services.common.records import Application
from services.query.engine.admission import Admission, Message

_SLO_S = 0.1
_APP = Application("app", InputType.DOUBLES, "default", round(_SLO_S * 1e6))
_MANY = 1_000


class Named(Message):
    """A message with a name."""

    def __init__(self, name: str, arrival_s: float, **attributes: Any) -> None:
        application = attributes.pop("application", _APP)
        deadline_s = attributes.pop("deadline_s", arrival_s + application.latency_slo_micros / 1e6)
        super().__init__(
            application, arrival_s, deadline_s, attributes.pop("inputs", 1), attributes.pop("size_bytes", 8)
        )
        self.name = name
        self.abandoned = False

    def abandon(self) -> None:
        """Remembers that."""
        self.abandoned = True


@pytest.fixture
def admission() -> Admission[Named]:
    """One with room for a thousand inputs."""
    return Admission[Named](_MANY, 1 << 20)


def let_in(admission: Admission[Named], now_s: float) -> list[str]:
    """Names of all that wait, in the order in which they are let in."""
    return [message.name for message in iter(lambda: admission.let_in(now_s), None)]


def given_up(admission: Admission[Named], now_s: float, most: int = _MANY) -> list[str]:
    """Names of those that are given up."""
    return [message.name for message in admission.give_up(now_s, most)]


def test_the_first_that_came_is_let_in_first(admission: Admission[Named]) -> None:
    for number in range(3):
        admission.arrive(Named(f"{number}", 0.001 * number))
    assert let_in(admission, 0.02) == ["0", "1", "2"]
    assert admission.let_in(0.02) is None


def test_once_the_first_has_waited_for_a_quarter_of_its_objective_the_last_is_let_in_first(
    admission: Admission[Named],
) -> None:
    for number in range(3):
        admission.arrive(Named(f"{number}", 0.001 * number))
    assert let_in(admission, 0.025) == ["2", "1", "0"]


def test_who_can_be_answered_in_time_no_longer_is_given_up_and_no_sooner(admission: Admission[Named]) -> None:
    admission.arrive(Named("old", 0.0))
    admission.arrive(Named("young", 0.01))
    assert admission.due_s == pytest.approx(_SLO_S)
    assert given_up(admission, 0.099) == []
    assert given_up(admission, 0.1) == ["old"]
    assert admission.due_s == pytest.approx(0.11)
    assert let_in(admission, 0.1) == ["young"]
    assert admission.due_s == math.inf


def test_who_has_less_time_than_the_objective_is_let_in_however_long_answers_have_taken(
    admission: Admission[Named],
) -> None:
    for _ in range(200):
        admission.answered(10.0)
    admission.arrive(Named("hurried", 0.0, deadline_s=_SLO_S / 10))
    assert given_up(admission, 0.001) == []
    assert let_in(admission, 0.001) == ["hurried"]


def test_what_answers_have_taken_lately_is_kept_in_reserve(admission: Admission[Named]) -> None:
    for _ in range(200):
        admission.answered(0.01)
    admission.arrive(Named("app", 0.0))
    assert admission.due_s == pytest.approx(0.09)
    assert given_up(admission, 0.0901) == ["app"]


def test_a_slow_model_costs_no_more_than_a_quarter_of_the_objective(admission: Admission[Named]) -> None:
    for _ in range(200):
        admission.answered(10.0)
    admission.arrive(Named("app", 0.0))
    assert given_up(admission, 0.0749) == []
    assert given_up(admission, 0.0751) == ["app"]


def test_a_clients_own_deadline_counts_though_it_came_last(admission: Admission[Named]) -> None:
    admission.arrive(Named("patient", 0.0))
    admission.arrive(Named("hasty", 0.001, deadline_s=0.01))
    assert given_up(admission, 0.01) == ["hasty"]


def test_only_so_many_are_given_up_at_once_and_the_rest_is_due(admission: Admission[Named]) -> None:
    for number in range(5):
        admission.arrive(Named(f"{number}", 0.0))
    assert given_up(admission, 1.0, most=3) == ["0", "1", "2"]
    assert admission.due_s <= 1.0
    assert given_up(admission, 1.0, most=3) == ["3", "4"]
    assert admission.due_s == math.inf


def test_a_higher_priority_goes_first(admission: Admission[Named]) -> None:
    for priority in ("low", "normal", "high"):
        application = replace(_APP, name=priority, priority=priority)
        for number in range(2):
            admission.arrive(Named(f"{priority} {number}", 0.0, application=application))
    assert let_in(admission, 0.0) == ["high 0", "high 1", "normal 0", "normal 1", "low 0", "low 1"]


def test_applications_of_one_priority_take_turns_by_their_shares(admission: Admission[Named]) -> None:
    flood, calm = replace(_APP, name="flood"), replace(_APP, name="calm", share=2.0)
    for _ in range(90):
        admission.arrive(Named("flood", 0.0, application=flood))
    for _ in range(20):
        admission.arrive(Named("calm", 0.0, application=calm))
    first = let_in(admission, 0.0)[:30]
    assert first.count("calm") == pytest.approx(20, abs=1)


def test_more_inputs_than_may_wait_push_out_the_oldest_which_is_given_up_when_it_is_due() -> None:
    admission = Admission[Named](10, 1 << 20)
    old, young = Named("old", 0.0, inputs=6), Named("young", 0.01, inputs=6)
    admission.arrive(old)
    admission.arrive(young)
    assert (old.abandoned, young.abandoned) == (True, False)
    assert given_up(admission, 0.05) == []
    assert let_in(admission, 0.05) == ["young"]
    assert admission.due_s == pytest.approx(0.1)
    assert given_up(admission, 0.1) == ["old"]
    assert admission.due_s == math.inf


def test_more_bytes_than_may_wait_push_out_the_oldest_of_the_least_important() -> None:
    admission = Admission[Named](_MANY, 100)
    important = replace(_APP, name="important", priority="high")
    admission.arrive(Named("important", 0.0, application=important, size_bytes=40))
    admission.arrive(Named("old", 0.001, size_bytes=40))
    admission.arrive(Named("young", 0.002, size_bytes=40))
    assert let_in(admission, 0.003) == ["important", "young"]
    assert given_up(admission, 1.0) == ["old"]


def test_a_single_message_may_be_larger_than_what_may_wait() -> None:
    admission = Admission[Named](10, 100)
    admission.arrive(Named("large", 0.0, inputs=50, size_bytes=500))
    assert let_in(admission, 0.0) == ["large"]

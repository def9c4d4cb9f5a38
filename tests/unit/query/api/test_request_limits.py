"""What a request may hold."""

import pytest

from services.common.errors import LimitExceeded
from services.query.api.request_limits import RequestLimits

_REMEDY = ". Divide it into several requests, or have CLIPPER_MAX_INPUTS of the query service raised"


def test_as_many_inputs_as_the_limit_are_allowed_and_one_more_is_refused_with_the_limit_the_number_and_the_remedy() -> (
    None
):
    limits = RequestLimits(max_inputs=4_096)
    limits.check_inputs(4_096)
    with pytest.raises(LimitExceeded) as refused:
        limits.check_inputs(4_097)
    assert str(refused.value) == f"A request has at most 4096 inputs, but this one has 4097{_REMEDY}"


def test_the_limit_holds_for_items_of_feedback_too() -> None:
    limits = RequestLimits(max_inputs=2)
    limits.check_feedback(2)
    with pytest.raises(LimitExceeded) as refused:
        limits.check_feedback(3)
    assert str(refused.value) == (
        f"A request has at most 2 inputs, and as many items of feedback, but this one has 3{_REMEDY}"
    )


@pytest.mark.parametrize(("max_inputs", "max_parts"), [(1, 65_536), (4_096, 65_536), (100_000, 1_600_000)])
def test_the_parts_of_a_request_are_bounded_by_what_its_inputs_may_need(max_inputs: int, max_parts: int) -> None:
    limits = RequestLimits(max_inputs)
    limits.check_parts(max_parts)
    with pytest.raises(LimitExceeded) as refused:
        limits.check_parts(max_parts + 1)
    assert str(refused.value) == (
        f"A request has at most {max_inputs} inputs, and {max_parts} strings, arrays, objects and fields in all, "
        f"but this one has at least {max_parts + 1}{_REMEDY}"
    )

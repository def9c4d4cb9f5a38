"""What a request that forbids default outputs gets instead of one."""

import pytest

from services.common.errors import ClipperError, DeadlineMissed, ModelFailed, ModelsDisagree, NoCapacity
from services.common.names import InputType
from services.common.records import Application
from services.query.engine.refusal import refusal
from services.query.engine.requests import NOBODY, DefaultReason, Request
from services.query.engine.versions import Route


def answered(*reasons: DefaultReason, forbid_default: bool = True) -> Request:
    """A finished request whose queries have these reasons."""
    route = Route(Application("app", InputType.DOUBLES, "fallback", 250_000), {})
    inputs = [b""] * len(reasons)
    request = Request(route, None, inputs, 0, 0.0, 1.0, NOBODY, explain=False, forbid_default=forbid_default)
    for query, reason in zip(request.queries, reasons, strict=True):
        query.reason = reason
        query.explanation = f"because of {reason.name}"
    return request


@pytest.mark.parametrize("reasons", [[], [DefaultReason.NONE], [DefaultReason.NONE] * 2])
def test_predictions_are_no_reason_to_refuse(reasons: list[DefaultReason]) -> None:
    assert refusal(answered(*reasons)) is None


def test_defaults_are_no_reason_to_refuse_who_has_not_forbidden_them() -> None:
    assert refusal(answered(DefaultReason.QUEUE_FULL, forbid_default=False)) is None


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (DefaultReason.NO_REPLICA, NoCapacity),
        (DefaultReason.QUEUE_FULL, NoCapacity),
        (DefaultReason.DEADLINE_UNREACHABLE, NoCapacity),
        (DefaultReason.REPLICA_LOST, NoCapacity),
        (DefaultReason.DEADLINE_IN_QUEUE, DeadlineMissed),
        (DefaultReason.DEADLINE_IN_MODEL, DeadlineMissed),
        (DefaultReason.MODEL_ERROR, ModelFailed),
        (DefaultReason.LOW_CONFIDENCE, ModelsDisagree),
    ],
)
def test_one_default_among_predictions_refuses_them_all(reason: DefaultReason, error: type[ClipperError]) -> None:
    refused = refusal(answered(DefaultReason.NONE, reason, DefaultReason.NONE))
    assert type(refused) is error
    assert (refused.reason, str(refused)) == (reason.name, f"because of {reason.name}")


def test_of_several_defaults_the_first_says_why() -> None:
    refused = refusal(answered(DefaultReason.NONE, DefaultReason.DEADLINE_IN_QUEUE, DefaultReason.MODEL_ERROR))
    assert type(refused) is DeadlineMissed


def test_to_try_again_makes_sense_after_the_latency_objective() -> None:
    refused = refusal(answered(DefaultReason.QUEUE_FULL))
    assert isinstance(refused, NoCapacity)
    assert refused.retry_after_s == 0.25

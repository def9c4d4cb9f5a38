"""What a request that forbids default outputs gets instead of one."""

from services.common.errors import ClipperError, DeadlineMissed, ModelFailed, ModelsDisagree, NoCapacity
from services.query.engine.requests import DefaultReason, Query, Request

_MISSED = frozenset({DefaultReason.DEADLINE_IN_QUEUE, DefaultReason.DEADLINE_IN_MODEL})


def refusal(request: Request) -> ClipperError | None:
    """The error that answers a finished request; None when its predictions do.

    One default output among many answers refuses them all, and the first one says why.
    """
    if not request.forbid_default:
        return None
    defaulted = next((query for query in request.queries if query.reason), None)
    return None if defaulted is None else error(defaulted, request.route.slo_s)


def error(query: Query, slo_s: float) -> ClipperError:
    """The error in place of a query's default output, for an application with a latency objective."""
    if query.reason is DefaultReason.LOW_CONFIDENCE:
        return ModelsDisagree(query.explanation)
    if query.reason is DefaultReason.MODEL_ERROR:
        return ModelFailed(query.explanation)
    if query.reason in _MISSED:
        return DeadlineMissed(query.explanation, query.reason.name)
    # What is in the way now has been answered, one way or the other, within the latency objective.
    return NoCapacity(query.explanation, query.reason.name, slo_s)

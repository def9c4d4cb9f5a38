"""Where the time of a prediction went, as clients are told: the fields of `clipper.v1.Timing`, in REST as well."""

from typing import TypedDict

from services.query.engine.requests import Spent

_MICROS = 1e6


class Timing(TypedDict):
    """The fields, times in whole microseconds."""

    cached: bool
    queue_micros: int
    batch_size: int
    model_micros: int
    network_micros: int


def timing(spent: Spent) -> Timing:
    """The fields for what the engine has measured."""
    return Timing(
        cached=spent.cached,
        queue_micros=_micros(spent.queue_s),
        batch_size=spent.batch_size,
        model_micros=_micros(spent.model_s),
        network_micros=_micros(spent.network_s),
    )


def _micros(seconds: float) -> int:
    # The network's share is what measurements on two machines leave; it may come out below 0.
    return max(0, round(seconds * _MICROS))

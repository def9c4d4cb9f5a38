"""The event log of an application: two bounded streams, read as one.

Predictions have a stream of their own, as there are many and they would crowd out the feedback, which tells all that a
replay needs.
"""

import re
from collections.abc import Iterator
from heapq import merge
from typing import Any, NamedTuple

from services.common.errors import InvalidInput
from services.store import codec
from services.store.connection import Connection
from services.store.keys import Keys

_ID = r"\d{1,20}-\d{1,20}"
_CURSOR = re.compile(f"({_ID}),({_ID})", re.ASCII)
_START = "0-0,0-0"


class Events(NamedTuple):
    """A page of events.

    Attributes:
        events: JSON objects as text, oldest first.
        next_after: read on from here.
    """

    events: list[str]
    next_after: str


class _Entry(NamedTuple):
    """An event in its stream, with what it is sorted by: of the same millisecond, predictions come before feedback."""

    ms: int
    stream: int
    sequence: int
    id: str
    text: str


async def read_events(
    connection: Connection, keys: Keys, application: str, registration: int, after: str, count: int
) -> Events:
    """At most `count` events of an application after a cursor.

    Raises:
        InvalidInput: `after` is no cursor.
    """
    cursor = _CURSOR.fullmatch(after or _START)
    if cursor is None:
        raise InvalidInput(f"Invalid cursor '{after[:100]}'. It must be one that a page of events came with, or empty")
    last_ids = list(cursor.groups())
    streams = (keys.prediction_events(application, registration), keys.feedback_events(application, registration))
    reply: Any = await connection.ask(connection.client.xread(dict(zip(streams, last_ids, strict=True)), count=count))
    events = dict(reply)
    found = merge(*(_entries(number, events.get(stream, ())) for number, stream in enumerate(streams)))
    page = [entry for entry, _ in zip(found, range(count), strict=False)]
    for entry in page:
        last_ids[entry.stream] = entry.id
    return Events([entry.text for entry in page], ",".join(last_ids))


def _entries(stream: int, reply: Any) -> Iterator[_Entry]:
    for entry_id, fields in reply:
        ms, _, sequence = entry_id.partition("-")
        is_prediction = "prediction" in fields
        text = codec.prediction_event(int(sequence), fields["prediction"]) if is_prediction else fields["feedback"]
        yield _Entry(int(ms), stream, int(sequence), entry_id, text)

"""What a REST body may be, by its Content-Type, and what its answer is, by the Accept of who asks."""

import re
from collections.abc import Sequence

from services.common.errors import NotAcceptable, UnsupportedMediaType
from services.common.names import InputType
from services.common.records import Application

JSON = "application/json"
TEXT = "text/plain"
OCTETS = "application/octet-stream"
NPY = "application/x-npy"

# What clients say of their JSON that do not care.
_JSON_BODIES = frozenset({"", JSON, TEXT, "text/json", "application/x-www-form-urlencoded"})
_JSON_SUFFIX = "+json"
_IMAGE = "image/"
# By whether there are several predictions; the first one has precedence.
_ANSWERS = {False: (JSON, TEXT, OCTETS), True: (JSON,)}
_QUALITY = re.compile(r"[01](\.[0-9]{0,3})?")
_LONGEST_ACCEPT = 1_000
_LONGEST_SHOWN = 100


def essence(content_type: str) -> str:
    """A media type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_json(content_type: str) -> bool:
    """Whether a body is read as JSON."""
    if content_type in _JSON_BODIES:
        return True
    media_type = essence(content_type)
    return media_type in _JSON_BODIES or media_type.endswith(_JSON_SUFFIX)


def check_raw(media_type: str, application: Application) -> None:
    """Checks that a body that is no JSON may be an application's input.

    Raises:
        UnsupportedMediaType: it may not.
    """
    input_type = application.input_type
    if input_type is InputType.BYTES:
        fits, others = media_type == OCTETS or media_type.startswith(_IMAGE), f", {OCTETS} or {_IMAGE}*"
    elif input_type is InputType.STRINGS:
        fits, others = False, ""
    else:
        fits, others = media_type == NPY, f" or {NPY}"
    if not fits:
        raise UnsupportedMediaType(
            f"The application '{application.name}' takes {input_type} as {JSON}{others}, but the body's Content-Type "
            f"is '{media_type[:_LONGEST_SHOWN]}'"
        )


def answer(accept: str, *, is_batch: bool) -> str:
    """What an answer is to be.

    Args:
        accept: a header as in RFC 9110; whoever does not care has JSON.
        is_batch: whether there may be several predictions.

    Raises:
        NotAcceptable: it can be nothing that is accepted.
    """
    ranges = [_range(entry) for entry in accept[:_LONGEST_ACCEPT].lower().split(",")]
    offered = _ANSWERS[is_batch]
    best = max(offered, key=lambda media_type: _quality(media_type, ranges))
    if _quality(best, ranges) <= 0:
        several = " of several predictions" if is_batch else ""
        raise NotAcceptable(
            f"An answer{several} is {' or '.join(offered)}, but the request's Accept is '{accept[:_LONGEST_SHOWN]}'"
        )
    return best


def _range(entry: str) -> tuple[str, float]:
    media_type, *parameters = (part.strip() for part in entry.split(";"))
    quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
    return media_type, float(quality) if _QUALITY.fullmatch(quality) else 0.0


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """How much a media type is wanted, by the most specific range that it is in."""
    kind = media_type.partition("/")[0]
    for pattern in (media_type, f"{kind}/*", "*/*"):
        for accepted, quality in ranges:
            if accepted == pattern:
                return quality
    return 0.0

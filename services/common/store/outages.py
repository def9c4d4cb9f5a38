"""Redis failing, as the house's error."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError

from services.common.errors import StoreUnavailable

# Redis says so with a code; within a script, before 7.0, with the code somewhere in the text.
_REFUSALS: tuple[tuple[str, type[RedisError] | None, str], ...] = (
    ("OOM", OutOfMemoryError, "it has no memory left (Redis's maxmemory)"),
    ("READONLY", ReadOnlyError, "it is a read-only replica of another Redis"),
    ("MISCONF", None, "it cannot save them to its disk (Redis's log says why)"),
)


@contextmanager
def unavailable_if_redis_fails() -> Iterator[None]:
    """Raises StoreUnavailable for whatever Redis or the way to it raises."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreUnavailable(_message(error)) from error


def _message(error: Exception) -> str:
    for code, kind, why in _REFUSALS:
        if (kind is not None and isinstance(error, kind)) or code in str(error).replace("-", " ").split():
            return f"The configuration store takes no writes: {why}"
    return "The configuration store cannot be reached"

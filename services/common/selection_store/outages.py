"""Redis failing, as the house's error."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from services.common.errors import StoreUnavailable


@contextmanager
def unavailable_if_redis_fails() -> Iterator[None]:
    """Raises StoreUnavailable for whatever Redis or the way to it raises."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreUnavailable("The selection state cannot be reached") from error

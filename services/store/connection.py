"""The way to Redis: one client, one measure of patience, one meaning of what fails, and the scripts that run there."""

import asyncio
import contextlib
from collections.abc import Awaitable, Sequence
from importlib import resources
from typing import Any, Self, TypeVar

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError

from services.common.errors import StoreUnavailable

# Redis says so with a code; within a script, before 7.0, with the code somewhere in the text.
_REFUSALS: tuple[tuple[str, type[RedisError] | None, str], ...] = (
    ("OOM", OutOfMemoryError, "it has no memory left (Redis's maxmemory)"),
    ("READONLY", ReadOnlyError, "it is a read-only replica of another Redis"),
    ("MISCONF", None, "it cannot save them to its disk (Redis's log says why)"),
)
# So often an event loop has to look in vain before it is Redis that is silent, and not itself that is slow.
_LOOKS = 20

_AnswerT = TypeVar("_AnswerT")


class Connection:
    """Redis, asked for one thing; of one event loop.

    Attributes:
        client: makes the questions for `ask`.
    """

    def __init__(self, client: "redis.asyncio.Redis", timeout_s: float, subject: str) -> None:
        self.client = client
        self._timeout_s = timeout_s
        self._subject = subject

    @classmethod
    def open(cls, url: str, timeout_s: float, subject: str) -> Self:
        """A connection to the Redis at `url`, made on first use and again whenever it broke; nothing is tried again.

        Args:
            url: where it is.
            timeout_s: a Redis that is silent for so long, asked or dialled, counts as unreachable. To be well above the
                time for which a command blocks.
            subject: what is asked for, as it is called in an error.
        """
        client = redis.asyncio.Redis.from_url(
            url,
            protocol=2,
            decode_responses=True,
            # Bytes that are no UTF-8 are the fault of one record, and not of the reply that they come with.
            encoding_errors="surrogateescape",
            socket_connect_timeout=None,
            socket_timeout=None,
            # Behind a new connection may be another store, which is to be looked at first.
            retry=Retry(NoBackoff(), retries=0),
        )
        return cls(client, timeout_s, subject)

    def about(self, subject: str) -> "Connection":
        """The same connection, asked for something else."""
        return Connection(self.client, self._timeout_s, subject)

    async def ask(self, question: Awaitable[_AnswerT]) -> _AnswerT:
        """What Redis answers to a command of the client, or to a pipeline of them.

        Raises:
            StoreUnavailable: it, or the way to it, does not, or not in time.
        """
        try:
            return await _Patience(self._timeout_s).with_(question)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(self._complaint(error)) from error

    def script(self, *names: str) -> "Script":
        """The script that these files of `lua/` are, one after the other."""
        return Script(self, "\n".join(map(_text, names)))

    async def ping(self) -> None:
        """Returns when Redis answers."""
        await self.ask(self.client.ping())

    async def close(self) -> None:
        """Closes the connection, whatever Redis says to that."""
        with contextlib.suppress(StoreUnavailable):
            await self.ask(self.client.aclose())

    def _complaint(self, error: Exception) -> str:
        for code, kind, why in _REFUSALS:
            if (kind is not None and isinstance(error, kind)) or code in str(error).replace("-", " ").split():
                return f"{self._subject} takes no writes: {why}"
        return f"{self._subject} cannot be reached"


class Script:
    """A script: one atomic step inside Redis."""

    def __init__(self, connection: Connection, text: str) -> None:
        self._connection = connection
        self._script = connection.client.register_script(text)

    async def __call__(self, keys: Sequence[str], args: Sequence[str | bytes | int | float]) -> Any:
        """What it answers; fails as `Connection.ask` does."""
        return await self._connection.ask(self._script(keys=keys, args=args))


class _Patience:
    """Waits for an answer until the loop has looked for it in vain, again and again, for some seconds.

    A timeout tells how long ago something was asked. Where the process has no processor for a second, it ends before
    the loop has even looked at what has long arrived, and a healthy Redis would be taken for one that is away.
    """

    __slots__ = ("_limit", "_looks", "_step_s", "_timer")

    def __init__(self, seconds: float) -> None:
        self._limit = asyncio.timeout(None)
        self._step_s = seconds / _LOOKS
        self._looks = 0

    async def with_(self, question: Awaitable[_AnswerT]) -> _AnswerT:
        """The answer.

        Raises:
            TimeoutError: there was none.
        """
        async with self._limit:
            self._timer = asyncio.get_running_loop().call_later(self._step_s, self._look)
            try:
                return await question
            finally:
                self._timer.cancel()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._looks += 1
        if self._looks < _LOOKS:
            self._timer = loop.call_later(self._step_s, self._look)
        else:
            self._limit.reschedule(loop.time())


def _text(name: str) -> str:
    return resources.files(__package__).joinpath("lua", f"{name}.lua").read_text()

"""Questions of one kind to the store: many in one round trip, and each answered once, whatever happens."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from services.common.errors import StoreUnavailable

_LOG = logging.getLogger(__name__)
_MOST_AT_ONCE = 64

_QuestionT = TypeVar("_QuestionT")
_AnswerT = TypeVar("_AnswerT")


class _Asked(Generic[_QuestionT, _AnswerT]):
    """A question, and who is called with the answer to it."""

    __slots__ = ("on_answer", "question")

    def __init__(self, question: _QuestionT, on_answer: Callable[[_AnswerT | Exception], None]) -> None:
        self.question = question
        self.on_answer = on_answer


class RoundTrips(Generic[_QuestionT, _AnswerT]):
    """Asks the store.

    Args:
        ask: answers questions together, in their order.
    """

    def __init__(self, ask: Callable[[Sequence[_QuestionT]], Awaitable[Sequence[_AnswerT]]]) -> None:
        self._ask = ask
        self._waiting: deque[_Asked[_QuestionT, _AnswerT]] = deque()
        self._unanswered: set[_Asked[_QuestionT, _AnswerT]] = set()
        self._is_wanted = asyncio.Event()
        self._is_done = asyncio.Event()

    def ask(self, question: _QuestionT, on_answer: Callable[[_AnswerT | Exception], None]) -> None:
        """Calls `on_answer` with the answer, or with the error that there is in its place."""
        asked: _Asked[_QuestionT, _AnswerT] = _Asked(question, on_answer)
        self._waiting.append(asked)
        self._unanswered.add(asked)
        self._is_wanted.set()

    async def run(self) -> None:
        """Asks, for ever."""
        while True:
            await self._is_wanted.wait()
            self._is_wanted.clear()
            while self._waiting:
                count = min(len(self._waiting), _MOST_AT_ONCE)
                await self._ask_some([self._waiting.popleft() for _ in range(count)])

    async def finish(self) -> None:
        """Returns when all is answered."""
        while self._unanswered:
            self._is_done.clear()
            await self._is_done.wait()

    def abandon(self) -> None:
        """Answers who still waits, once nobody asks any more."""
        self._fail(list(self._unanswered), StoreUnavailable("The query service is shutting down"))

    async def _ask_some(self, some: list[_Asked[_QuestionT, _AnswerT]]) -> None:
        try:
            answers = await self._ask([asked.question for asked in some])
            for asked, answer in zip(some, answers, strict=True):
                self._answer(asked, answer)
        except StoreUnavailable as error:
            # Whoever waits behind them would wait as long, and in vain.
            some += self._waiting
            self._waiting.clear()
            self._fail(some, error)
        except Exception as error:
            _LOG.error("the store cannot be asked", exc_info=error)
            self._fail(some, error)

    def _fail(self, all_asked: Iterable[_Asked[_QuestionT, _AnswerT]], error: Exception) -> None:
        for asked in all_asked:
            self._answer(asked, error)

    def _answer(self, asked: _Asked[_QuestionT, _AnswerT], answer: _AnswerT | Exception) -> None:
        if asked in self._unanswered:
            self._unanswered.remove(asked)
            asked.on_answer(answer)
        if not self._unanswered:
            self._is_done.set()

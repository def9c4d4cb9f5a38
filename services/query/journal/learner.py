"""Learning from feedback: joined with its prediction, judged by the policy, and confirmed once Redis has it."""

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from services.common.errors import ClipperError, StoreUnavailable
from services.common.selection_records import ContextKey, QueryKey, Recorded
from services.common.selection_store import Addition, Outcome, Revision, SelectionStore, Verdict
from services.query.journal.experience import Experience, experience
from services.query.journal.feedback import Feedback, FeedbackResult, FeedbackStatus
from services.query.journal.recorder import Recorder

_LOG = logging.getLogger(__name__)
_MOST_AT_ONCE = 64
# When a prediction is looked for again: another query service may have made it just now, and records it once it has
# gathered some (journal.py), or in a while when it has much to do.
_LOOK_AGAIN_AFTER_S = (0.1, 0.2)

OnLearned = Callable[[FeedbackResult], None]


class _Job:
    """Feedback to learn from, and who waits for that.

    Attributes:
        feedback: the feedback.
        on_learned: called once.
        looks: how often its prediction was looked for in vain.
    """

    __slots__ = ("feedback", "looks", "on_learned")

    def __init__(self, feedback: Feedback, on_learned: OnLearned) -> None:
        self.feedback = feedback
        self.on_learned = on_learned
        self.looks = 0


class Learner:
    """Learns from feedback, many at a time."""

    def __init__(self, store: SelectionStore, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder
        self._queue: deque[_Job] = deque()
        self._unanswered: set[_Job] = set()
        self._is_wanted = asyncio.Event()
        self._is_done = asyncio.Event()

    def learn(self, feedback: Feedback, on_learned: OnLearned) -> None:
        """Learns from feedback, and calls `on_learned` when Redis has it, or has not."""
        job = _Job(feedback, on_learned)
        self._unanswered.add(job)
        self._enqueue(job)

    async def run(self) -> None:
        """Learns, for ever."""
        while True:
            await self._is_wanted.wait()
            self._is_wanted.clear()
            while self._queue:
                count = min(len(self._queue), _MOST_AT_ONCE)
                await self._learn([self._queue.popleft() for _ in range(count)])

    async def finish(self) -> None:
        """Returns when all feedback is answered."""
        while self._unanswered:
            self._is_done.clear()
            await self._is_done.wait()

    def abandon(self) -> None:
        """Answers who still waits, once nobody learns any more."""
        self._fail(list(self._unanswered), StoreUnavailable("The query service is shutting down"))

    def _enqueue(self, job: _Job) -> None:
        if job in self._unanswered:
            self._queue.append(job)
            self._is_wanted.set()

    async def _learn(self, jobs: list[_Job]) -> None:
        try:
            await self._attempt(jobs)
        except StoreUnavailable as error:
            # Whoever waits behind them would wait as long, and in vain.
            jobs += self._queue
            self._queue.clear()
            self._fail(jobs, error)
        except Exception as error:
            _LOG.error("feedback cannot be learned", exc_info=error)
            self._fail(jobs, error)

    async def _attempt(self, jobs: Sequence[_Job]) -> None:
        now_ms = round(time.time() * 1e3)
        experiences: dict[_Job, Experience] = {}
        for job, recorded in (await self._join(jobs, now_ms)).items():
            try:
                experiences[job] = experience(job.feedback, recorded, now_ms)
            except Exception as error:
                self._refuse(job, error)
        additions: dict[_Job, Addition] = {}
        revisions: defaultdict[ContextKey, dict[_Job, Revision]] = defaultdict(dict)
        for job, (key, _losses, _answer_loss, lesson) in experiences.items():
            if isinstance(lesson, Addition):
                additions[job] = lesson
            else:
                revisions[key][job] = lesson
        if additions:
            self._settle(additions, experiences, await self._store.add(list(additions.values())))
        for together in revisions.values():
            self._settle(together, experiences, await self._store.revise(list(together.values())))

    async def _join(self, jobs: Sequence[_Job], now_ms: int) -> dict[_Job, Recorded | None]:
        """The predictions that feedback is about; None for feedback by input. What is left out is not known yet."""
        joined: dict[_Job, Recorded | None] = {}
        elsewhere: dict[_Job, QueryKey] = {}
        for job in jobs:
            query_id = job.feedback.query_id
            if query_id is None:
                joined[job] = None
            elif (recent := self._recorder.find(query_id, now_ms)) is not None:
                self._take(joined, job, recent, now_ms)
            else:
                application = job.feedback.application
                elsewhere[job] = QueryKey(application.name, application.registration, query_id)
        if elsewhere:
            found = await self._store.join(list(elsewhere.values()))
            for job, recorded in zip(elsewhere, found, strict=True):
                self._take(joined, job, recorded, now_ms)
        return joined

    def _take(self, joined: dict[_Job, Recorded | None], job: _Job, recorded: Recorded | None, now_ms: int) -> None:
        application = job.feedback.application
        if recorded is None and job.looks < len(_LOOK_AGAIN_AFTER_S):
            asyncio.get_running_loop().call_later(_LOOK_AGAIN_AFTER_S[job.looks], self._enqueue, job)
            job.looks += 1
        elif (
            recorded is None
            or recorded.prediction.key[:2] != (application.name, application.registration)
            or now_ms - recorded.at_ms > application.feedback_window_s * 1_000
        ):
            self._answer(job, FeedbackResult(FeedbackStatus.UNKNOWN_QUERY))
        else:
            joined[job] = recorded

    def _settle(
        self, jobs: Iterable[_Job], experiences: Mapping[_Job, Experience], outcomes: Sequence[Outcome]
    ) -> None:
        for job, outcome in zip(jobs, outcomes, strict=True):
            key, losses, answer_loss, _ = experiences[job]
            match outcome.verdict:
                case Verdict.LEARNED:
                    result = FeedbackResult(FeedbackStatus.LEARNED, key, outcome.state, losses, answer_loss=answer_loss)
                    self._answer(job, result)
                case Verdict.ALREADY_LEARNED:
                    self._answer(job, FeedbackResult(FeedbackStatus.ALREADY_LEARNED, key, outcome.state))
                case Verdict.GONE:
                    self._answer(job, FeedbackResult(FeedbackStatus.UNKNOWN_QUERY))
                case Verdict.FAILED:
                    self._refuse(job, outcome.error)

    def _refuse(self, job: _Job, error: Exception | None) -> None:
        if not isinstance(error, ClipperError):
            application = job.feedback.application.name
            _LOG.warning("the selection policy failed", extra={"application": application}, exc_info=error)
        self._answer(job, FeedbackResult(FeedbackStatus.FAILED, error=error))

    def _fail(self, jobs: Iterable[_Job], error: Exception) -> None:
        status = FeedbackStatus.UNAVAILABLE if isinstance(error, StoreUnavailable) else FeedbackStatus.FAILED
        for job in jobs:
            self._answer(job, FeedbackResult(status, error=error))

    def _answer(self, job: _Job, result: FeedbackResult) -> None:
        if job in self._unanswered:
            self._unanswered.remove(job)
            job.on_learned(result)
        if not self._unanswered:
            self._is_done.set()

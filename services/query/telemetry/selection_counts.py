"""What a query service has counted of an application's selection policy: whom it asked, and how good that was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    # For types only: the parent of several processes adds counts up, and does without the engine.
    from services.query.engine.feedback import Feedback


class ArmCounts:
    """Counts of one model on behalf of one application.

    Attributes:
        selections: for how many queries it was asked.
        feedbacks: how often feedback said how good its output was.
        rewards: the sum of 1 - loss over these.
    """

    __slots__ = ("feedbacks", "rewards", "selections")

    def __init__(self) -> None:
        self.selections = 0
        self.feedbacks = 0
        self.rewards = 0.0

    @property
    def mean_reward(self) -> float:
        """How good its outputs were, from 0 to 1; 0 while nobody knows."""
        return self.rewards / self.feedbacks if self.feedbacks else 0.0

    def add(self, other: Self) -> None:
        """Counts what another process has counted."""
        self.selections += other.selections
        self.feedbacks += other.feedbacks
        self.rewards += other.rewards


class SelectionCounts:
    """Counts of one application.

    Attributes:
        arms: by model.
        feedbacks: what became of feedback, in words.
        answers: how often feedback said how good an answer was.
        rewards: the sum of 1 - loss over these.
        weights: how much the policy relies on each model for those without a context; empty while that is not known.
        weighed_s: when it was so, on time.monotonic()'s clock.
        forgotten: predictions that made way for newer ones though their feedback could still have come.
    """

    __slots__ = ("answers", "arms", "feedbacks", "forgotten", "rewards", "weighed_s", "weights")

    def __init__(self) -> None:
        self.arms: dict[str, ArmCounts] = {}
        self.feedbacks: Counter[str] = Counter()
        self.answers = 0
        self.rewards = 0.0
        self.weights: Mapping[str, float] = {}
        self.weighed_s = 0.0
        self.forgotten = 0

    @classmethod
    def total(cls, parts: Sequence[Self]) -> Self:
        """The sum of several processes' counts of the application."""
        total = cls()
        for part in parts:
            for name, arm in list(part.arms.items()):
                total.arm(name).add(arm)
            total.feedbacks.update(part.feedbacks)
            total.answers += part.answers
            total.rewards += part.rewards
            total.forgotten += part.forgotten
            if part.weighed_s > total.weighed_s:
                total.weights, total.weighed_s = part.weights, part.weighed_s
        return total

    @property
    def regret(self) -> float:
        """An estimate of what the best model alone would have earned more; below 0 when it would have earned less."""
        best = max((arm.mean_reward for arm in list(self.arms.values())), default=0.0)
        return best * self.answers - self.rewards

    def arm(self, name: str) -> ArmCounts:
        """The counts of a model."""
        counts = self.arms.get(name)
        if counts is None:
            counts = self.arms[name] = ArmCounts()
        return counts

    def chosen(self, arms: Iterable[str]) -> None:
        """Counts whom a query was given to."""
        for name in arms:
            self.arm(name).selections += 1

    def learned(self, feedback: Feedback) -> None:
        """Counts feedback that has a status."""
        if feedback.status is not None:
            self.feedbacks[feedback.status.name.lower()] += 1
        for name, loss in feedback.losses.items():
            arm = self.arm(name)
            arm.feedbacks += 1
            arm.rewards += 1.0 - loss
        if feedback.answer_loss is not None:
            self.answers += 1
            self.rewards += 1.0 - feedback.answer_loss

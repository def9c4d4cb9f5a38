"""What the engine wants done, and where its parts put it until it is taken."""

from services.common.selection_records import ContextKey, PredictionRecord
from services.query.engine.feedback import Feedback, FeedbackRequest
from services.query.engine.requests import Request
from services.query.engine.versions import Batch, Replica


class Effects:
    """What the engine wants done, in the order of each list.

    Attributes:
        sent: batches to send to their replica.
        finished: requests whose queries are all answered.
        predictions: what was chosen for those of them that had a choice, and what came of it.
        reads: contexts whose state is to be read.
        joins: feedback whose prediction is to be looked for.
        lessons: feedback whose lesson is to be learned.
        taught: requests of which it is known what became of all their feedback.
        dialled: new replicas, to be connected.
        released: replicas that need their connection no longer.
        frozen: replicas that nobody waits for any more, though they are connected.
    """

    __slots__ = (
        "dialled",
        "finished",
        "frozen",
        "joins",
        "lessons",
        "predictions",
        "reads",
        "released",
        "sent",
        "taught",
    )

    def __init__(self) -> None:
        self.sent: list[Batch] = []
        self.finished: list[Request] = []
        self.predictions: list[PredictionRecord] = []
        self.reads: list[ContextKey] = []
        self.joins: list[Feedback] = []
        self.lessons: list[Feedback] = []
        self.taught: list[FeedbackRequest] = []
        self.dialled: list[Replica] = []
        self.released: list[Replica] = []
        self.frozen: list[Replica] = []


class Outbox:
    """Holds the effects that nobody has taken yet.

    Attributes:
        effects: to be added to.
    """

    __slots__ = ("effects",)

    def __init__(self) -> None:
        self.effects = Effects()

    def take(self) -> Effects:
        """What there is to do since the last call."""
        effects, self.effects = self.effects, Effects()
        return effects

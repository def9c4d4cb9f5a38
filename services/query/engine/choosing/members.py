"""Several models asked for the same inputs, and one answer made of theirs.

The members are asked by a request of their own, with the deadline of the one that they answer. When it is finished, at
that deadline at the latest, what has come is combined; who did not answer lowers the confidence.
"""

from collections.abc import Sequence
from itertools import islice

from services.query.engine.answers import Answers
from services.query.engine.choosing.selected import Pick, Selection, policy_failure
from services.query.engine.requests import DefaultReason, Query, Request, Spent

# Where no member answered, the reason that is told is the one that says most about what is to be mended.
_MOST_TELLING = (
    DefaultReason.MODEL_ERROR,
    DefaultReason.DEADLINE_IN_MODEL,
    DefaultReason.REPLICA_LOST,
    DefaultReason.DEADLINE_UNREACHABLE,
    DefaultReason.DEADLINE_IN_QUEUE,
    DefaultReason.QUEUE_FULL,
    DefaultReason.NO_REPLICA,
)


def members_of(request: Request, selection: Selection, answers: Answers) -> Request:
    """The request that asks, for each query of `request`, each of the arms that were picked for it."""
    pairs = zip(request.queries, selection.picks, strict=True)
    inputs = [query.input for query, pick in pairs for _ in pick.choice.arms]
    members = Request(
        request.route,
        None,
        inputs,
        request.first_query_id,
        request.arrival_s,
        request.deadline_s,
        None,
        explain=request.explain,
    )
    members.selection = Members(request, selection, answers)
    selection.members = members
    return members


class Members(Selection):
    """What the members' request carries.

    Args:
        request: the request that they answer.
        selection: what that one carries.
        answers: takes its answers.
    """

    __slots__ = ("_answers", "_request", "_selection")

    def __init__(self, request: Request, selection: Selection, answers: Answers) -> None:
        super().__init__(selection.selector, selection.state, selection.picks)
        self._request = request
        self._selection = selection
        self._answers = answers

    def settle(self, request: Request) -> None:
        """Answers each query by what its members said."""
        # Else the two requests would hold each other until the garbage collector comes.
        self._selection.members = None
        members = iter(request.queries)
        for query, pick in zip(self._request.queries, self.picks, strict=True):
            self._answer(query, pick, list(islice(members, len(pick.choice.arms))))

    def _answer(self, query: Query, pick: Pick, members: Sequence[Query]) -> None:
        answered = [pair for pair in zip(pick.choice.arms, members, strict=True) if not pair[1].reason]
        if not answered:
            most_telling = min(members, key=lambda member: _MOST_TELLING.index(member.reason))
            self._answers.default(query, most_telling.reason, most_telling.explanation)
            return
        pick.outputs = {arm: member.output for arm, member in answered}
        try:
            output, pick.confidence = self.selector.combine(self.state, pick.outputs)
        except Exception as error:
            self._answers.default(query, DefaultReason.MODEL_ERROR, policy_failure(error))
            return
        if pick.confidence < self.selector.application.confidence_threshold:
            self._answers.default(query, DefaultReason.LOW_CONFIDENCE)
        else:
            query.spent = _longest([member.spent for _arm, member in answered])
            self._answers.answer(query, output)


def _longest(spent: Sequence[Spent | None]) -> Spent | None:
    """Where the time of the member went that was waited for longest; None when nobody wants to know."""
    told = [each for each in spent if each is not None]
    return max(told, key=lambda each: each.queue_s + each.model_s + each.network_s, default=None)

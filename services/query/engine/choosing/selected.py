"""What was chosen for a request, and what becomes of it once all of its queries are answered."""

from collections.abc import Sequence

from services.common.errors import ClipperError, describe
from services.common.selection_records import PredictionRecord
from services.query.engine.effects import Outbox
from services.query.engine.policies.guard import PolicyFailed
from services.query.engine.policies.policy import State
from services.query.engine.policies.selector import Selector
from services.query.engine.recent import RecentPredictions
from services.query.engine.requests import Pick, Request, Selection


def policy_failure(error: Exception) -> str:
    """What is told of a policy that raised an exception; built-in ones do not, but anybody may write one."""
    what = str(error) if isinstance(error, ClipperError | PolicyFailed) else describe(error)
    return f"The selection policy failed: {what}"


class Selected(Selection):
    """A client's request: it is finished, and its predictions are kept for their feedback.

    Args:
        outbox: takes the request and its predictions.
        recent: remembers these.
        note: what the policy noted with the choice.
        away: the arms that could not be asked.
    """

    __slots__ = ("_away", "_note", "_outbox", "_recent")

    def __init__(
        self,
        selector: Selector,
        state: State,
        picks: Sequence[Pick],
        outbox: Outbox,
        recent: RecentPredictions,
        note: Sequence[float] = (),
        away: tuple[str, ...] = (),
    ) -> None:
        super().__init__(selector, state, picks)
        self._note = note
        self._away = away
        self._outbox = outbox
        self._recent = recent

    def settle(self, request: Request) -> None:
        """Reports the answers and how they came about."""
        effects, recent = self._outbox.effects, self._recent
        effects.finished.append(request)
        key = self.selector.key(request.context)
        number = request.first_query_id
        for query, pick in zip(request.queries, self.picks, strict=True):
            arms, probability = pick.choice
            is_default = bool(query.reason)
            if not is_default and not pick.outputs:
                # One model was asked, and its output is the answer.
                pick.outputs = {arms[0]: query.output}
                pick.confidence = 1.0
            prediction = PredictionRecord(
                key,
                number,
                probability,
                pick.outputs,
                query.output,
                is_default,
                arms,
                pick.features,
                self._note,
                self._away,
            )
            effects.predictions.append(prediction)
            recent.add(prediction, request.arrival_s)
            number += 1

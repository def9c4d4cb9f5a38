"""Who asks for predictions over REST, in JSON or otherwise, and has the answer in JSON or otherwise."""

from abc import abstractmethod
from collections.abc import Callable

from services.common.records import Application
from services.common.rpc_operations import send_initial_metadata
from services.common.status import from_exception
from services.query.api import json_predictions, media_types, protobuf, raw_inputs
from services.query.api.asked import Asked, RestQuestion
from services.query.api.callers import due_s
from services.query.api.predictor import Predictor
from services.query.api.request_limits import RequestLimits
from services.query.driver import Entrant
from services.query.engine.refusal import refusal
from services.query.engine.requests import Request
from services.query.engine.versions import Route
from services.query.front import UnaryCall

# What the edge makes of a client's Accept that says more than that JSON will do.
_ACCEPT = "x-clipper-accept"


class RestCaller(Entrant):
    """A PredictJson call. How many inputs it has shows when its body is read; until then it counts as one."""

    __slots__ = ("_accept", "_call", "_glance", "_is_batch", "_limits", "_media_type", "_predictor", "_question")

    def __init__(
        self, predictor: Predictor, call: UnaryCall, route: Route, question: RestQuestion, limits: RequestLimits
    ) -> None:
        super().__init__(route.application, call.received_s, due_s(call, route.slo_s), 1, len(question.body))
        self._predictor = predictor
        self._call = call
        self._question: RestQuestion | None = question
        self._limits = limits
        self._is_batch = False
        self._glance: tuple[int, bool] | None = None
        self._accept = _accepted(call)
        self._media_type = media_types.JSON

    def enter(self) -> None:
        """Submits what is asked."""
        question, self._question = self._question, None
        if question is None:
            return
        try:
            route = self._predictor.route(self.application.name)
            asked, is_batch = self._read(question, route.application)
            self._settle_answer(is_batch)
            if question.options is not None:
                asked = question.options.besides(asked)
            request = self._predictor.submit(self, route, asked)
        except Exception as error:
            self._call.fail(from_exception(error))
        else:
            self._predictor.cancel_with(self._call, request)

    def turn_away(self, now_s: float) -> None:
        """Replies with default outputs."""
        self.abandon()
        if self._glance is None:
            return
        inputs, forbids_default = self._glance
        prepared, first_query_id = self._predictor.turn_away(self, inputs, now_s)
        if forbids_default and inputs:
            self._call.fail(prepared.refusal)
        elif self._media_type == media_types.JSON:
            self._call.reply(prepared.json(first_query_id, inputs, self._is_batch))
        else:
            self._reply_raw(self.application.default_output, first_query_id, is_default=True)

    def abandon(self) -> None:
        """Forgets the body but for how it is to be answered; a bad one is refused at once."""
        question, self._question = self._question, None
        if question is None:
            return
        try:
            inputs, is_batch, forbids_default = self._look_at(question)
            self._settle_answer(is_batch)
        except Exception as error:
            self._call.fail(from_exception(error))
        else:
            options = question.options
            self._glance = inputs, forbids_default or (options is not None and options.forbid_default)

    def deliver(self, request: Request) -> None:
        """Replies with the predictions."""
        error = refusal(request)
        if error is not None:
            self._call.fail(from_exception(error))
        elif self._media_type == media_types.JSON:
            self._call.reply(protobuf.json_response(json_predictions.answer(request, self._is_batch)))
        else:
            [query] = request.queries
            self._reply_raw(query.output, request.first_query_id, is_default=bool(query.reason))

    @abstractmethod
    def _read(self, question: RestQuestion, application: Application) -> tuple[Asked, bool]:
        """What is asked, and whether as a batch."""

    @abstractmethod
    def _look_at(self, question: RestQuestion) -> tuple[int, bool, bool]:
        """How many inputs there are, whether as a batch, and whether the body forbids default outputs."""

    def _settle_answer(self, is_batch: bool) -> None:
        self._is_batch = is_batch
        if self._accept:
            self._media_type = media_types.answer(self._accept, is_batch=is_batch)

    def _reply_raw(self, output: str, query_id: int, *, is_default: bool) -> None:
        told = (("clipper-query-id", str(query_id)), ("clipper-default", "true" if is_default else "false"))
        self._call.reply(protobuf.rest_response(self._media_type, output.encode()), send_initial_metadata(told))


class JsonCaller(RestCaller):
    """One whose body is JSON."""

    __slots__ = ()

    def _read(self, question: RestQuestion, application: Application) -> tuple[Asked, bool]:
        return json_predictions.read(question.body, application, self._limits)

    def _look_at(self, question: RestQuestion) -> tuple[int, bool, bool]:
        return json_predictions.glance(question.body, self.application, self._limits)


class RawCaller(RestCaller):
    """One whose body is its input."""

    __slots__ = ()

    def _read(self, question: RestQuestion, application: Application) -> tuple[Asked, bool]:
        media_type = media_types.essence(question.content_type)
        inputs, is_batch = raw_inputs.read(media_type, question.body, application, self._limits)
        return Asked(inputs, None, "", explain=False, forbid_default=False), is_batch

    def _look_at(self, question: RestQuestion) -> tuple[int, bool, bool]:
        media_type = media_types.essence(question.content_type)
        inputs, is_batch = raw_inputs.glance(media_type, question.body, self.application, self._limits)
        return inputs, is_batch, False


def _accepted(call: UnaryCall) -> str:
    for key, value in call.metadata:
        if key == _ACCEPT:
            return str(value)
    return ""


_Make = Callable[[Predictor, UnaryCall, Route, RestQuestion, RequestLimits], RestCaller]


def caller_of(question: RestQuestion) -> _Make:
    """The kind of caller that asks a question."""
    return JsonCaller if media_types.is_json(question.content_type) else RawCaller

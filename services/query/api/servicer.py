"""The query service's RPCs."""

import time
from collections.abc import Sequence

import orjson

from services.common.errors import NotFound
from services.common.lessons import FeedbackStatus
from services.common.status import from_exception
from services.query.api import json_feedback, protobuf
from services.query.api.callers import NativeCaller, PredictStream
from services.query.api.predictor import Predictor
from services.query.api.request_limits import RequestLimits
from services.query.api.rest_callers import caller_of
from services.query.driver import Driver
from services.query.engine.feedback import FeedbackItem, FeedbackRequest
from services.query.engine.versions import Route
from services.query.front import StreamCall, UnaryCall
from services.query.redis_thread import QueryIds
from services.query.telemetry.exposition import as_json
from services.query.telemetry.recorder import Telemetry


class QueryServicer:
    """Serves clipper.v1.QueryService. Its methods are called on the front's thread."""

    def __init__(self, driver: Driver, query_ids: QueryIds, telemetry: Telemetry, limits: RequestLimits) -> None:
        self._driver = driver
        self._predictor = Predictor(driver, query_ids, telemetry)
        self._telemetry = telemetry
        self._limits = limits

    def predict(self, call: UnaryCall, message: bytes) -> None:
        """QueryService.Predict."""
        proto = protobuf.predict_request(message, self._limits)
        route = self._predictor.route(proto.application)
        self._driver.arrive(NativeCaller(self._predictor, call, route, proto, len(message)))

    def predict_json(self, call: UnaryCall, message: bytes) -> None:
        """QueryService.PredictJson."""
        question = protobuf.predict_json_request(message, self._limits)
        route = self._predictor.route(question.application)
        caller = caller_of(question)
        self._driver.arrive(caller(self._predictor, call, route, question, self._limits))

    def predict_stream(self, call: StreamCall) -> PredictStream:
        """QueryService.PredictStream."""
        return PredictStream(self._predictor, call, self._limits)

    def feedback(self, call: UnaryCall, message: bytes) -> None:
        """QueryService.Feedback."""
        proto = protobuf.feedback_request(message, self._limits)
        route = self._predictor.route(proto.application)
        items = protobuf.feedback_items(proto, route.application, self._limits)
        self._tell(route, items, _NativeTeller(call))

    def feedback_json(self, call: UnaryCall, message: bytes) -> None:
        """QueryService.FeedbackJson."""
        application, text = protobuf.feedback_json_request(message, self._limits)
        route = self._predictor.route(application)
        body = json_feedback.parse(text, route.application, self._limits)
        self._tell(route, body.items, _JsonTeller(call, body.is_batch))

    def get_metrics(self, call: UnaryCall, _message: bytes) -> None:
        """QueryService.GetMetrics."""
        call.reply(protobuf.json_response(orjson.dumps(as_json(self._telemetry.counts(), time.monotonic()))))

    def _tell(self, route: Route, items: Sequence[FeedbackItem], teller: "_NativeTeller | _JsonTeller") -> None:
        request = FeedbackRequest(route, items, round(time.time() * 1e3), teller)
        if items:
            self._driver.feedback(request)
        else:
            teller.deliver(request)


class _NativeTeller:
    """A Feedback call."""

    __slots__ = ("_call",)

    def __init__(self, call: UnaryCall) -> None:
        self._call = call

    def deliver(self, request: FeedbackRequest) -> None:
        """Replies with what became of the feedback."""
        if request.error is None:
            self._call.reply(protobuf.feedback_response(request.statuses))
        else:
            self._call.fail(from_exception(request.error))


class _JsonTeller:
    """A FeedbackJson call."""

    __slots__ = ("_call", "_is_batch")

    def __init__(self, call: UnaryCall, is_batch: bool) -> None:
        self._call = call
        self._is_batch = is_batch

    def deliver(self, request: FeedbackRequest) -> None:
        """Replies with the JSON of what became of the feedback."""
        error = request.error or self._not_found(request)
        if error is None:
            self._call.reply(protobuf.json_response(json_feedback.answer(request.statuses, self._is_batch)))
        else:
            self._call.fail(from_exception(error))

    def _not_found(self, request: FeedbackRequest) -> NotFound | None:
        if self._is_batch or request.statuses != [FeedbackStatus.UNKNOWN_QUERY]:
            return None
        application, query_id = request.route.application, request.feedback[0].item.query_id
        return NotFound(
            f"No prediction with query id {query_id} is known. Feedback on a prediction of the application "
            f"'{application.name}' is taken for {application.feedback_window_s} s."
        )

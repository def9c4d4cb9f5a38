"""The query service's RPCs."""

import time
from collections.abc import Callable, Sequence
from functools import partial

import orjson

from services.common.errors import NotFound
from services.common.records import Application
from services.common.status import from_exception
from services.query import convert
from services.query.callers import JsonCaller, NativeCaller, PredictStream
from services.query.driver import Driver
from services.query.engine.versions import Route
from services.query.feedback_item import FeedbackItem
from services.query.front import StreamCall, UnaryCall
from services.query.journal.feedback import FeedbackResult, FeedbackStatus
from services.query.learning import learn
from services.query.predictor import Predictor
from services.query.query_ids import QueryIds
from services.query.request_limits import RequestLimits
from services.query.rest import feedback
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
        proto = convert.predict_request(message, self._limits)
        route = self._predictor.route(proto.application)
        self._driver.arrive(NativeCaller(self._predictor, call, route, proto, len(message)))

    def predict_json(self, call: UnaryCall, message: bytes) -> None:
        """QueryService.PredictJson."""
        application, text = convert.predict_json_request(message, self._limits)
        self._driver.arrive(JsonCaller(self._predictor, call, self._predictor.route(application), text, self._limits))

    def predict_stream(self, call: StreamCall) -> PredictStream:
        """QueryService.PredictStream."""
        return PredictStream(self._predictor, call, self._limits)

    def feedback(self, call: UnaryCall, message: bytes) -> None:
        """QueryService.Feedback."""
        proto = convert.feedback_request(message, self._limits)
        route = self._predictor.route(proto.application)
        items = convert.feedback_items(proto, route.application.input_type, self._limits)
        self._learn(route, items, call, convert.feedback_response)

    def feedback_json(self, call: UnaryCall, message: bytes) -> None:
        """QueryService.FeedbackJson."""
        application, text = convert.feedback_json_request(message, self._limits)
        route = self._predictor.route(application)
        body = feedback.parse(text, route.application.input_type, self._limits)

        def response(statuses: Sequence[FeedbackStatus]) -> bytes:
            if not body.is_batch and statuses[0] is FeedbackStatus.UNKNOWN_QUERY:
                raise NotFound(_unknown_query(route.application, body.items[0]))
            return convert.json_response(feedback.answer(statuses, body.is_batch))

        self._learn(route, body.items, call, response)

    def get_metrics(self, call: UnaryCall, _message: bytes) -> None:
        """QueryService.GetMetrics."""
        call.reply(convert.json_response(orjson.dumps(as_json(self._telemetry.counts(), time.monotonic()))))

    def _learn(
        self,
        route: Route,
        items: Sequence[FeedbackItem],
        call: UnaryCall,
        response: Callable[[Sequence[FeedbackStatus]], bytes],
    ) -> None:
        for item in items:
            item.check(route.application)
        learn(self._driver, route, items, partial(_answer_feedback, call, response))


def _answer_feedback(
    call: UnaryCall, response: Callable[[Sequence[FeedbackStatus]], bytes], results: Sequence[FeedbackResult]
) -> None:
    try:
        for result in results:
            if result.error is not None:
                raise result.error
        call.reply(response([result.status for result in results]))
    except Exception as error:
        call.fail(from_exception(error))


def _unknown_query(application: Application, item: FeedbackItem) -> str:
    return (
        f"No prediction with query id {item.query_id} is known. Feedback on a prediction of the application "
        f"'{application.name}' is taken for {application.feedback_window_s} s."
    )

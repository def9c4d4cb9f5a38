"""The query service's RPCs: convert, submit, and deliver the answer when the engine has it."""

import time
from collections.abc import Callable, Sequence
from functools import partial

import orjson
from clipper.v1 import query_service_pb2

from services.common.errors import InvalidInput, LimitExceeded, NotFound
from services.common.records import Application, version_key
from services.common.status import from_exception
from services.query import convert
from services.query.driver import Caller, Driver
from services.query.engine.requests import Request
from services.query.engine.selection.selector import LONGEST_CONTEXT
from services.query.engine.versions import Route, Version
from services.query.feedback_item import FeedbackItem
from services.query.front import Call, StreamCall, UnaryCall
from services.query.journal.feedback import FeedbackResult, FeedbackStatus
from services.query.learning import learn
from services.query.query_ids import QueryIds
from services.query.refusal import refusal
from services.query.request_limits import RequestLimits
from services.query.rest import feedback, predictions
from services.query.telemetry.exposition import as_json
from services.query.telemetry.recorder import Telemetry

# What an answer is given for its way to a client that has set a deadline of its own.
_WAY_BACK_S = 0.005


class QueryServicer:
    """Serves clipper.v1.QueryService. Its methods are called on the front's thread."""

    def __init__(self, driver: Driver, query_ids: QueryIds, telemetry: Telemetry, limits: RequestLimits) -> None:
        self._driver = driver
        self._query_ids = query_ids
        self._telemetry = telemetry
        self.limits = limits

    def predict(self, call: UnaryCall, message: bytes) -> None:
        """QueryService.Predict."""
        proto = convert.predict_request(message, self.limits)
        request = self.submit(call, proto, _NativeCaller(call))
        self._driver.cancel_with(call, request)

    def predict_json(self, call: UnaryCall, message: bytes) -> None:
        """QueryService.PredictJson."""
        application, text = convert.predict_json_request(message, self.limits)
        route = self._route(application)
        body = predictions.parse(text, self.limits)
        inputs = predictions.pack(body, route.application.input_type)
        version = self._version(route, body.version)
        caller = _JsonCaller(call, body.is_batch)
        request = self._submit(
            call, route, version, inputs, caller, body.context, explain=body.explain, forbid_default=body.forbid_default
        )
        self._driver.cancel_with(call, request)

    def predict_stream(self, call: StreamCall) -> "PredictStream":
        """QueryService.PredictStream."""
        return PredictStream(self, call)

    def feedback(self, call: UnaryCall, message: bytes) -> None:
        """QueryService.Feedback."""
        proto = convert.feedback_request(message, self.limits)
        route = self._route(proto.application)
        items = convert.feedback_items(proto, route.application.input_type, self.limits)
        self._learn(route, items, call, convert.feedback_response)

    def feedback_json(self, call: UnaryCall, message: bytes) -> None:
        """QueryService.FeedbackJson."""
        application, text = convert.feedback_json_request(message, self.limits)
        route = self._route(application)
        body = feedback.parse(text, route.application.input_type, self.limits)

        def response(statuses: Sequence[FeedbackStatus]) -> bytes:
            if not body.is_batch and statuses[0] is FeedbackStatus.UNKNOWN_QUERY:
                raise NotFound(_unknown_query(route.application, body.items[0]))
            return convert.json_response(feedback.answer(statuses, body.is_batch))

        self._learn(route, body.items, call, response)

    def get_metrics(self, call: UnaryCall, _message: bytes) -> None:
        """QueryService.GetMetrics."""
        call.reply(convert.json_response(orjson.dumps(as_json(self._telemetry.counts(), time.monotonic()))))

    def submit(self, call: Call, proto: query_service_pb2.PredictRequest, caller: Caller) -> Request:
        """Hands a native request to the engine; `caller` is delivered the answer, at once when there are no inputs.

        Raises:
            NotFound: the application is not registered.
            InvalidInput: the inputs are bad or the version is unknown.
            LimitExceeded: there are too many of them.
        """
        route = self._route(proto.application)
        inputs = convert.inputs(proto.inputs, route.application.input_type, self.limits)
        version = self._version(route, proto.version if proto.HasField("version") else None)
        return self._submit(
            call,
            route,
            version,
            inputs,
            caller,
            proto.context,
            explain=proto.explain,
            forbid_default=proto.forbid_default,
        )

    def cancel(self, request: Request) -> None:
        """Forgets a request whose client has gone."""
        self._driver.cancel(request)

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

    def _route(self, application: str) -> Route:
        route = self._driver.route(application)
        if route is None:
            why = self._driver.why_unknown(application)
            but = f" There is a record of that name, but it cannot be read: {why}" if why else ""
            raise NotFound(f"No application with name '{application}' exists.{but}")
        return route

    def _version(self, route: Route, wanted: str | None) -> Version | None:
        if wanted is None or not route.application.linked_models:
            return route.version
        if route.selector is not None:
            policy = route.application.selection_policy
            raise InvalidInput(f"A version cannot be asked for where the selection policy is '{policy}'")
        model = route.application.linked_models[0]
        version = self._driver.version(version_key(model, wanted))
        if version is None:
            raise InvalidInput(f"Requested version: {wanted} does not exist for model: {model}")
        return version

    def _submit(
        self,
        call: Call,
        route: Route,
        version: Version | None,
        inputs: Sequence[bytes],
        caller: Caller,
        context: str,
        *,
        explain: bool,
        forbid_default: bool,
    ) -> Request:
        if len(context) > LONGEST_CONTEXT:
            raise InvalidInput(f"The context has more than {LONGEST_CONTEXT} characters")
        arrival_s = call.received_s
        deadline_s = arrival_s + min(route.slo_s, _until_due_s(call.remaining_s))
        request = Request(
            route,
            version,
            inputs,
            self._query_ids.take(len(inputs)),
            arrival_s,
            deadline_s,
            caller,
            context,
            explain=explain,
            forbid_default=forbid_default,
        )
        if inputs:
            self._driver.submit(request)
        else:
            caller.deliver(request)
        return request


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


def _until_due_s(remaining_s: float) -> float:
    """How long an answer may take to be on its way, for a client that still waits for `remaining_s`."""
    return remaining_s - min(_WAY_BACK_S, remaining_s / 2)


class _NativeCaller:
    """Answers a Predict call."""

    __slots__ = ("_call",)

    def __init__(self, call: UnaryCall) -> None:
        self._call = call

    def deliver(self, request: Request) -> None:
        """Replies with the predictions."""
        error = refusal(request)
        if error is None:
            self._call.reply(convert.predict_response(request).SerializeToString())
        else:
            self._call.fail(from_exception(error))


class _JsonCaller:
    """Answers a PredictJson call."""

    __slots__ = ("_call", "_is_batch")

    def __init__(self, call: UnaryCall, is_batch: bool) -> None:
        self._call = call
        self._is_batch = is_batch

    def deliver(self, request: Request) -> None:
        """Replies with the JSON of the predictions."""
        error = refusal(request)
        if error is None:
            self._call.reply(convert.json_response(predictions.answer(request, self._is_batch)))
        else:
            self._call.fail(from_exception(error))


class PredictStream:
    """One PredictStream call: pipelined requests, answered as they finish."""

    def __init__(self, servicer: QueryServicer, call: StreamCall) -> None:
        self._servicer = servicer
        self._call = call
        # Not kept by the callers, which their requests keep: only the garbage collector could free such a pair.
        self._pending: dict[_PipelinedCaller, Request] = {}
        self._half_closed = False
        call.on_cancel = self._forget

    def on_message(self, message: bytes) -> None:
        """Submits one request, or answers it with the limit that it exceeds.

        Raises:
            NotFound, InvalidInput: it is bad; the stream ends with it.
        """
        try:
            self._submit(message)
        except LimitExceeded as error:
            self._call.send(convert.predict_stream_error(convert.request_id(message), error).SerializeToString())

    def _submit(self, message: bytes) -> None:
        proto = convert.predict_stream_request(message, self._servicer.limits)
        caller = _PipelinedCaller(self, proto.request_id)
        request = self._servicer.submit(self._call, proto.request, caller)
        # One without inputs is answered by now.
        if request.queries:
            self._pending[caller] = request

    def on_half_close(self) -> None:
        """Ends the call once everything is answered."""
        self._half_closed = True
        self._finish_if_done()

    def answer(self, caller: "_PipelinedCaller", request: Request) -> None:
        """Sends the answer to one request."""
        error = refusal(request)
        if error is None:
            response = convert.predict_stream_response(caller.request_id, request)
        else:
            response = convert.predict_stream_error(caller.request_id, error)
        self._call.send(response.SerializeToString())
        self._pending.pop(caller, None)
        self._finish_if_done()

    def _finish_if_done(self) -> None:
        if self._half_closed and not self._pending:
            self._call.finish()

    def _forget(self) -> None:
        for request in self._pending.values():
            self._servicer.cancel(request)
        self._pending.clear()


class _PipelinedCaller:
    """Waits for one request of a PredictStream."""

    __slots__ = ("_stream", "request_id")

    def __init__(self, stream: PredictStream, request_id: int) -> None:
        self._stream = stream
        self.request_id = request_id

    def deliver(self, request: Request) -> None:
        """Sends the answer."""
        self._stream.answer(self, request)

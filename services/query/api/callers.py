"""Who asks for predictions natively: waits as a message, enters as a request, and takes the answer back to the call."""

from clipper.v1 import query_service_pb2

from services.common.errors import ClipperError, LimitExceeded, SchemaMismatch
from services.common.status import from_exception
from services.query.api import protobuf
from services.query.api.predictor import Predictor
from services.query.api.request_limits import RequestLimits
from services.query.driver import Entrant
from services.query.engine.refusal import refusal
from services.query.engine.requests import Request
from services.query.engine.versions import Route
from services.query.front import Call, StreamCall, UnaryCall

# What an answer is given for its way to a client that has set a deadline of its own.
_WAY_BACK_S = 0.005


class NativeCaller(Entrant):
    """A Predict call."""

    __slots__ = ("_call", "_forbids_default", "_predictor", "_proto")

    def __init__(
        self,
        predictor: Predictor,
        call: UnaryCall,
        route: Route,
        proto: query_service_pb2.PredictRequest,
        size_bytes: int,
    ) -> None:
        inputs = len(proto.inputs.lengths)
        super().__init__(route.application, call.received_s, due_s(call, route.slo_s), inputs, size_bytes)
        self._predictor = predictor
        self._call = call
        self._proto = proto
        self._forbids_default = proto.forbid_default

    def enter(self) -> None:
        """Submits what is asked."""
        proto = self._proto
        del self._proto
        try:
            route = self._predictor.route(self.application.name)
            asked = protobuf.asked(proto, route.application)
            request = self._predictor.submit(self, route, asked)
        except Exception as error:
            self._call.fail(from_exception(error))
        else:
            self._predictor.cancel_with(self._call, request)

    def turn_away(self, now_s: float) -> None:
        """Replies with default outputs."""
        prepared, first_query_id = self._predictor.turn_away(self, self.inputs, now_s)
        if self._forbids_default and self.inputs:
            self._call.fail(prepared.refusal)
        else:
            self._call.reply(prepared.native(first_query_id, self.inputs))

    def abandon(self) -> None:
        """Forgets the inputs."""
        del self._proto

    def deliver(self, request: Request) -> None:
        """Replies with the predictions."""
        error = refusal(request)
        if error is None:
            self._call.reply(protobuf.predict_response(request).SerializeToString())
        else:
            self._call.fail(from_exception(error))


class PredictStream:
    """One PredictStream call: pipelined requests, answered as they finish."""

    def __init__(self, predictor: Predictor, call: StreamCall, limits: RequestLimits) -> None:
        self._predictor = predictor
        self._call = call
        self._limits = limits
        # Not kept by the callers, which their requests keep: only the garbage collector could free such a pair. Who has
        # not entered has none.
        self._pending: dict[_PipelinedCaller, Request | None] = {}
        self._half_closed = False
        call.watch(self._forget)

    def on_message(self, message: bytes) -> None:
        """Has one request wait to enter, or answers it with the limit that it exceeds.

        Raises:
            NotFound, InvalidInput: it is bad; the stream ends with it.
        """
        try:
            proto = protobuf.predict_stream_request(message, self._limits)
        except LimitExceeded as error:
            self._call.send(protobuf.predict_stream_error(protobuf.request_id(message), error).SerializeToString())
            return
        route = self._predictor.route(proto.request.application)
        caller = _PipelinedCaller(self, route, proto, self._call, len(message))
        self._pending[caller] = None
        self._predictor.arrive(caller)

    def on_half_close(self) -> None:
        """Ends the call once everything is answered."""
        self._half_closed = True
        self._finish_if_done()

    def enter(self, caller: "_PipelinedCaller", proto: query_service_pb2.PredictRequest) -> None:
        """Submits one request; a bad one ends the stream, unless it is so only by the application's schema."""
        if caller not in self._pending:
            return
        try:
            route = self._predictor.route(caller.application.name)
            asked = protobuf.asked(proto, route.application)
            request = self._predictor.submit(caller, route, asked)
        except SchemaMismatch as error:
            self._refuse(caller, error)
            return
        except Exception as error:
            self._call.finish(from_exception(error))
            self._forget()
            return
        # One without inputs is answered by now.
        if request.queries:
            self._pending[caller] = request

    def turn_away(self, caller: "_PipelinedCaller", now_s: float) -> None:
        """Sends default outputs for one request."""
        if caller not in self._pending:
            return
        prepared, first_query_id = self._predictor.turn_away(caller, caller.inputs, now_s)
        if caller.forbids_default and caller.inputs:
            self._send(caller, prepared.pipelined_refusal(caller.request_id))
        else:
            self._send(caller, prepared.pipelined(caller.request_id, first_query_id, caller.inputs))

    def answer(self, caller: "_PipelinedCaller", request: Request) -> None:
        """Sends the answer to one request."""
        error = refusal(request)
        if error is None:
            self._send(caller, protobuf.predict_stream_response(caller.request_id, request).SerializeToString())
        else:
            self._refuse(caller, error)

    def _refuse(self, caller: "_PipelinedCaller", error: ClipperError) -> None:
        self._send(caller, protobuf.predict_stream_error(caller.request_id, error).SerializeToString())

    def _send(self, caller: "_PipelinedCaller", answer: bytes) -> None:
        self._call.send(answer)
        self._pending.pop(caller, None)
        self._finish_if_done()

    def _finish_if_done(self) -> None:
        if self._half_closed and not self._pending:
            self._call.finish()

    def _forget(self) -> None:
        for request in self._pending.values():
            if request is not None:
                self._predictor.cancel(request)
        self._pending.clear()


class _PipelinedCaller(Entrant):
    """One request of a PredictStream.

    Attributes:
        request_id: the client's number for it.
        forbids_default: whether it wants an error rather than the default output.
    """

    __slots__ = ("_proto", "_stream", "forbids_default", "request_id")

    def __init__(
        self,
        stream: PredictStream,
        route: Route,
        proto: query_service_pb2.PredictStreamRequest,
        call: StreamCall,
        size_bytes: int,
    ) -> None:
        inputs = len(proto.request.inputs.lengths)
        super().__init__(route.application, call.received_s, due_s(call, route.slo_s), inputs, size_bytes)
        self._stream = stream
        self._proto = proto.request
        self.request_id = proto.request_id
        self.forbids_default = proto.request.forbid_default

    def enter(self) -> None:
        """Submits what is asked."""
        proto = self._proto
        del self._proto
        self._stream.enter(self, proto)

    def turn_away(self, now_s: float) -> None:
        """Sends default outputs."""
        self._stream.turn_away(self, now_s)

    def abandon(self) -> None:
        """Forgets the inputs."""
        del self._proto

    def deliver(self, request: Request) -> None:
        """Sends the answer."""
        self._stream.answer(self, request)


def due_s(call: Call, slo_s: float) -> float:
    """When the answer to a call's newest message is to be on its way, for an application with a latency objective."""
    remaining_s = call.ends_s - call.received_s
    return call.received_s + min(slo_s, remaining_s - min(_WAY_BACK_S, remaining_s / 2))

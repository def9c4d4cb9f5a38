"""Prepared answers: what an application's queries get when there is no time to look at them, made once for all."""

from services.common.errors import NoCapacity
from services.common.records import Application
from services.common.status import RpcStatus, from_exception
from services.query.api import json_predictions, protobuf
from services.query.engine.requests import EXPLANATIONS, DefaultReason

_REASON = DefaultReason.FRONT_OVERLOADED
_MICROS = 1e-6


class PreparedDefault:
    """The default output of an application, in every form in which it may be asked for.

    Attributes:
        application: the application.
        refusal: how a call ends that forbids the default output.
    """

    def __init__(self, application: Application) -> None:
        self.application = application
        self._error = NoCapacity(EXPLANATIONS[_REASON], _REASON.name, application.latency_slo_micros * _MICROS)
        self.refusal: RpcStatus = from_exception(self._error)
        self._prediction = protobuf.default_prediction(application.default_output, _REASON)
        self._fields = json_predictions.default_fields(application.default_output, EXPLANATIONS[_REASON])

    def native(self, first_query_id: int, count: int) -> bytes:
        """The answer to Predict, for so many queries."""
        return protobuf.alike_predictions(self._prediction, first_query_id, count)

    def json(self, first_query_id: int, count: int, is_batch: bool) -> bytes:
        """The answer to PredictJson."""
        return protobuf.json_response(json_predictions.alike_answer(self._fields, first_query_id, count, is_batch))

    def pipelined(self, request_id: int, first_query_id: int, count: int) -> bytes:
        """The answer within a PredictStream."""
        return protobuf.predict_stream_message(request_id, self.native(first_query_id, count))

    def pipelined_refusal(self, request_id: int) -> bytes:
        """The answer within a PredictStream that forbids the default output."""
        return protobuf.predict_stream_error(request_id, self._error).SerializeToString()

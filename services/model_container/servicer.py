"""The RPCs of `clipper.v1.ModelContainerService`."""

import threading
import time
from collections.abc import Iterable, Iterator

import grpc
from clipper.v1 import model_container_service_pb2, model_container_service_pb2_grpc

from services.common import status
from services.common.errors import InvalidInput
from services.common.names import InputType
from services.model_container import convert
from services.model_container.prediction import Answer, Predictor


class Servicer(model_container_service_pb2_grpc.ModelContainerServiceServicer):
    """Answers streams of batches, each stream on a thread of its own.

    The handler is a plain generator that reads, predicts and answers in turn: handing a batch to another thread would
    cost more than most of what is done here.
    """

    def __init__(self, predictor: Predictor, input_type: InputType) -> None:
        self._predictor = predictor
        self._input_type = input_type
        self._open_streams = 0
        self._streams_changed = threading.Condition()

    def PredictBatch(  # noqa: N802 - the contract's name
        self,
        request_iterator: Iterable[model_container_service_pb2.PredictBatchRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[model_container_service_pb2.PredictBatchResponse]:
        """Answers the batches of one query service in the order received."""
        self._count_stream(1)
        try:
            for request in request_iterator:
                yield self._answer(request)
        except grpc.RpcError:
            return  # the query service is gone
        except Exception as error:
            _abort(context, error)
        finally:
            self._count_stream(-1)

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Whether every stream ended within the time."""
        with self._streams_changed:
            return self._streams_changed.wait_for(lambda: self._open_streams == 0, timeout_s)

    def _answer(
        self, request: model_container_service_pb2.PredictBatchRequest
    ) -> model_container_service_pb2.PredictBatchResponse:
        try:
            batch = convert.batch(request, self._input_type, time.monotonic())
        except InvalidInput as error:
            count = len(request.inputs.lengths)
            if count == 0:
                raise
            return convert.response(request.batch_id, Answer.failed(count, str(error)))
        return convert.response(request.batch_id, self._predictor.predict(batch))

    def _count_stream(self, difference: int) -> None:
        with self._streams_changed:
            self._open_streams += difference
            self._streams_changed.notify_all()


def _abort(context: grpc.ServicerContext, error: Exception) -> None:
    rpc_status = status.from_exception(error)
    context.set_trailing_metadata(rpc_status.trailing_metadata)
    context.abort(rpc_status.code, rpc_status.message)

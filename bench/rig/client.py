"""A native client that predicts and gives feedback, for one application."""

from collections.abc import Sequence
from typing import Self, TypeAlias

import grpc
import numpy as np
from clipper.v1 import query_service_pb2, query_service_pb2_grpc

from bench.rig.errors import BenchmarkError
from bench.rig.models import Images
from bench.rig.payloads import packed

Prediction = query_service_pb2.Prediction
Predicting: TypeAlias = "grpc.Future[query_service_pb2.PredictResponse]"
Learning: TypeAlias = "grpc.Future[query_service_pb2.FeedbackResponse]"

_TIMEOUT_S = 30.0


class Client:
    """Asks an application, and tells it how good it was, on a connection of its own."""

    def __init__(self, address: str, application: str) -> None:
        self._application = application
        self._channel = grpc.insecure_channel(address)
        self._stub = query_service_pb2_grpc.QueryServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def predict(self, inputs: Images, context: str = "", *, explain: bool = False) -> Sequence[Prediction]:
        """The answers to some inputs."""
        return self.predicting(inputs, context, explain=explain).result().predictions

    def predicting(self, inputs: Images, context: str = "", *, explain: bool = False) -> Predicting:
        """The answers, when they are there."""
        request = query_service_pb2.PredictRequest(
            application=self._application, inputs=packed(inputs), context=context, explain=explain
        )
        return self._stub.Predict.future(request, timeout=_TIMEOUT_S)

    def learning(self, query_id: int, label: str) -> Learning:
        """Tells what the output of a prediction should have been."""
        item = query_service_pb2.FeedbackItem(query_id=query_id, label=label)
        return self._feedback([item])

    def learn(self, query_ids: Sequence[int], label: str) -> list[int]:
        """Tells what the output of some predictions should have been; what became of it, as FeedbackStatus."""
        items = [query_service_pb2.FeedbackItem(query_id=query_id, label=label) for query_id in query_ids]
        return [result.status for result in self._feedback(items).result().results]

    def learn_from_inputs(self, inputs: Images, labels: Sequence[str], contexts: Sequence[str]) -> None:
        """Tells what outputs should be, of inputs that nobody asked for."""
        items = [
            query_service_pb2.FeedbackItem(input=packed(row[np.newaxis]), label=label, context=context)
            for row, label, context in zip(inputs, labels, contexts, strict=True)
        ]
        check_learned(self._feedback(items))

    def _feedback(self, items: Sequence[query_service_pb2.FeedbackItem]) -> Learning:
        request = query_service_pb2.FeedbackRequest(application=self._application, feedback=items)
        return self._stub.Feedback.future(request, timeout=_TIMEOUT_S)


def check_learned(learning: Learning) -> None:
    """Waits until feedback is stored; BenchmarkError when it is not learned from."""
    statuses = {result.status for result in learning.result().results}
    if statuses != {query_service_pb2.FEEDBACK_STATUS_LEARNED}:
        raise BenchmarkError(f"feedback was not learned from: {statuses}")

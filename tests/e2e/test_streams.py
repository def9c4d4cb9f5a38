"""A client that keeps many predictions under way on one stream through the edge."""

import threading
from collections.abc import Iterator

import pytest
from clipper.v1 import query_service_pb2

from clipper_admin import ClipperConnection
from clipper_admin.deployers import python as python_deployer
from tests.fixtures.clients import NativeClient, doubles

LARGE_INPUT = [0.5] * 784
REQUESTS = 3_000


@pytest.mark.parametrize("outstanding", [128, 512])
def test_a_client_with_hundreds_of_predictions_under_way_is_no_flood(
    cluster: ClipperConnection, outstanding: int
) -> None:
    name = f"streamed-{outstanding}"
    python_deployer.create_endpoint(cluster, name, "doubles", lambda inputs: [str(sum(each)) for each in inputs])
    encoded = doubles(name, [LARGE_INPUT])
    may_ask = threading.Semaphore(outstanding)

    def asked() -> Iterator[query_service_pb2.PredictStreamRequest]:
        for number in range(REQUESTS):
            may_ask.acquire()
            yield query_service_pb2.PredictStreamRequest(request_id=number, request=encoded)

    answered = set()
    with NativeClient(cluster.get_query_addr(), name) as client:
        for response in client.stub.PredictStream(asked(), timeout=60):
            may_ask.release()
            answered.add(response.request_id)

    assert answered == set(range(REQUESTS))

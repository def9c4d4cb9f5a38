"""What Envoy is given to read."""

from google.protobuf import descriptor_pb2, descriptor_pool

from clipper_admin import edge


def test_the_descriptor_holds_the_services_with_their_routes_and_the_error_details() -> None:
    described = descriptor_pb2.FileDescriptorSet.FromString(edge.descriptor_set())
    pool = descriptor_pool.DescriptorPool()
    for file in described.file:
        pool.Add(file)  # fails unless everything that a file imports stands before it

    predict = pool.FindMethodByName("clipper.v1.QueryService.PredictJson")
    assert b"/{application}/predict" in predict.GetOptions().SerializeToString()
    pool.FindServiceByName("clipper.v1.ManagementService")
    pool.FindMessageTypeByName("google.rpc.ErrorInfo")

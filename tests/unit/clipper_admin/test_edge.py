"""What Envoy is given to read."""

import re

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from clipper_admin import ClipperException, edge
from clipper_admin.edge import EdgeSettings


def test_the_descriptor_holds_the_services_with_their_routes_and_the_error_details() -> None:
    described = descriptor_pb2.FileDescriptorSet.FromString(edge.descriptor_set())
    pool = descriptor_pool.DescriptorPool()
    for file in described.file:
        pool.Add(file)  # fails unless everything that a file imports stands before it

    predict = pool.FindMethodByName("clipper.v1.QueryService.PredictJson")
    assert b"/{application}/predict" in predict.GetOptions().SerializeToString()
    pool.FindServiceByName("clipper.v1.ManagementService")
    pool.FindMessageTypeByName("google.rpc.ErrorInfo")


def test_the_environment_holds_the_settings_and_what_is_empty_is_as_usual() -> None:
    settings = EdgeSettings.from_environment(
        {
            "CLIPPER_EDGE_CORS_ORIGINS": "https://shop.example, http://localhost:3000",
            "CLIPPER_EDGE_CONNECTIONS": "50",
            "CLIPPER_EDGE_HEAP_BYTES": "",
        }
    )

    assert settings == EdgeSettings(cors_origins=("https://shop.example", "http://localhost:3000"), connections=50)
    assert EdgeSettings.from_environment({}) == EdgeSettings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CLIPPER_EDGE_HEAP_BYTES", "1g"),
        ("CLIPPER_EDGE_CONNECTIONS", "0"),
        ("CLIPPER_EDGE_BODY_TIMEOUT_S", "-1"),
        ("CLIPPER_EDGE_CORS_ORIGINS", "shop.example"),
        ("CLIPPER_EDGE_CORS_ORIGINS", "https://shop.example/path"),
        ("CLIPPER_EDGE_CORS_ORIGINS", '"(.*'),
    ],
)
def test_a_setting_of_no_use_is_named(variable: str, value: str) -> None:
    with pytest.raises(ClipperException, match=f"{variable} must be .*{re.escape(value)}"):
        EdgeSettings.from_environment({variable: value})

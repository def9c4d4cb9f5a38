"""Every error of the admin RPCs, as it reaches a client over a real channel: code, ErrorInfo and the known text."""

import asyncio
from typing import Any

import grpc
import pytest
from clipper.v1 import management_service_pb2 as pb

from tests.fixtures import management
from tests.fixtures.management import Failure, failure, register, serving
from tests.fixtures.redis_server import RedisServer

DIGITS = management.application()
TEXTS = management.application(name="texts", input_type="strings")
CLEVER = management.application(name="clever", selection_policy="exp3")
FOREST = management.model()
SVM = management.model(model_name="svm")
NAME_RULE = "It must be 1 to 255 letters, digits, '-', '_' and '.', starting and ending with a letter or a digit"
TYPE_RULE = "It must be one of 'bytes', 'integers', 'floats', 'doubles', 'strings' or an alias of one"
INCOMPATIBLE = (
    "Model with name 'forest' is already linked to app 'digits' using input type 'doubles'. "
    "The input type you provided for a new version of the model, 'strings', is not compatible."
)
FOREST_OF_TEXTS = management.model(model_version="2", input_type="strings")


def link(app_name: str, *model_names: str) -> pb.AddModelLinksRequest:
    return pb.AddModelLinksRequest(app_name=app_name, model_names=model_names)


def unlink(app_name: str, *model_names: str) -> pb.DeleteModelLinksRequest:
    return pb.DeleteModelLinksRequest(app_name=app_name, model_names=model_names)


def current(model_name: str, model_version: str) -> pb.SetModelVersionRequest:
    return pb.SetModelVersionRequest(model_name=model_name, model_version=model_version)


LINKED = [DIGITS, FOREST, link("digits", "forest")]

# What is registered before, the method, the request, the message.
Case = tuple[list[Any], str, Any, str]

INVALID: list[Case] = [
    (
        [], "DeleteApplication", pb.DeleteApplicationRequest(),
        "Error parsing JSON: JSON object does not have required key: name. "
        'Expected JSON schema: \n  {\n   "name" := string\n  }\n',
    ),
    ([], "AddApplication", management.application(name="a/b"),
     f"Invalid application name supplied: 'a/b'. {NAME_RULE}"),
    ([], "AddApplication", management.application(input_type="text"), f"Invalid input type 'text'. {TYPE_RULE}"),
    ([], "AddApplication", management.application(latency_slo_micros=0),
     "The latency objective must be positive, but it is 0 microseconds"),
    ([], "AddApplication", management.application(priority="urgent"),
     "Invalid priority 'urgent'. It must be one of 'high', 'normal', 'low'"),
    ([], "AddApplication", management.application(share=0.0),
     "The share must be between 0.001 and 1000, but it is 0.0"),
    ([], "AddApplication", management.application(cache_ttl_micros=-1),
     "The time to live in the cache must not be negative, but it is -1 microseconds"),
    ([], "AddApplication", management.application(selection_policy="exp3", policy_parameters={"speed": 1.0}),
     "Unknown parameter 'speed' of the selection policy. It takes: 'eta', 'gamma'"),
    ([], "AddApplication", management.application(confidence_threshold=2.0),
     "The confidence threshold must be between 0 and 1, but it is 2.0"),
    ([], "AddApplication", management.application(loss="hinge"),
     "Invalid loss 'hinge'. It must be one of 'zero_one', 'squared', 'absolute'"),
    ([CLEVER, FOREST], "AddModelLinks", link("clever", "forest", "forest"), "A model is named twice: forest, forest"),
    ([CLEVER], "GetSelectionEvents", pb.GetSelectionEventsRequest(app_name="clever", count=1_001),
     "The count must be between 1 and 1000, but it is 1001"),
    ([], "AddModel", management.model(model_name=""), f"Invalid model name supplied: ''. {NAME_RULE}"),
    ([], "AddModel", management.model(model_name="a:b"),
     "Invalid model name supplied: a:b. Contains one of: ',', ':'"),
    ([], "AddModel", management.model(model_version="1,2"),
     "Invalid model version supplied: 1,2. Contains one of: ',', ':'"),
    ([], "AddModel", management.model(labels=["a:b"]), "Invalid label supplied: a:b. Contains one of: ',', ':'"),
    ([], "AddModel", management.model(input_type="text"), f"Invalid input type 'text'. {TYPE_RULE}"),
    ([], "AddModel", management.model(batch_size=0),
     "The batch size must be positive or DEFAULT_BATCH_SIZE, which is -1"),
    ([], "AddModel", management.model(batching_policy="clever"),
     "Invalid batching policy 'clever'. It must be one of 'fixed', 'aimd', 'quantile', 'adaptive'"),
    ([], "AddModel", management.model(batching_policy="fixed"),
     "The batching policy 'fixed' needs a positive batch size"),
    ([], "AddModel", management.model(batch_delay_micros=-1),
     "The batch delay must not be negative, but it is -1 microseconds"),
    ([DIGITS], "AddModelLinks", link("digits"),
     "Please provide the name of the model that you want to link to the application 'digits'"),
    ([DIGITS, FOREST, SVM], "AddModelLinks", link("digits", "forest", "svm"),
     "Applications must be linked with at most one model. Attempted to add links to 2 models."),
]  # fmt: skip
NOT_FOUND: list[Case] = [
    ([], "DeleteApplication", pb.DeleteApplicationRequest(name="digits"), "Application 'digits' does not exist"),
    ([], "DeleteModelVersion", pb.DeleteModelVersionRequest(model_name="forest", model_version="1"),
     "model with name 'forest' and version '1' does not exist"),
    ([], "SetModelVersion", current("forest", "1"), "Cannot set version for nonexistent model 'forest'"),
    ([FOREST], "SetModelVersion", current("forest", "2"),
     "Cannot set non-existent version '2' for model with name 'forest'"),
    ([], "AddModelLinks", link("digits", "forest"), "No app with name 'digits' exists."),
    ([DIGITS], "AddModelLinks", link("digits", "forest"), "No model with name 'forest' exists."),
    ([], "DeleteModelLinks", unlink("digits", "forest"), "No app with name digits exists."),
    ([DIGITS, FOREST], "DeleteModelLinks", unlink("digits", "forest"),
     "Cannot remove nonexistent link between app digits and model forest"),
    ([], "GetLinkedModels", pb.GetLinkedModelsRequest(app_name="digits"),
     "No application with name 'digits' exists."),
    ([], "GetState", pb.GetStateRequest(app_name="digits", uid=0), "No application with name 'digits' exists."),
    ([], "GetSelectionState", pb.GetSelectionStateRequest(app_name="digits", context=""),
     "No application with name 'digits' exists."),
    ([], "DeleteSelectionState", pb.DeleteSelectionStateRequest(app_name="digits", context=""),
     "No application with name 'digits' exists."),
    ([], "GetSelectionEvents", pb.GetSelectionEventsRequest(app_name="digits"),
     "No application with name 'digits' exists."),
]  # fmt: skip
ALREADY_EXISTS: list[Case] = [
    ([DIGITS], "AddApplication", DIGITS, "application 'digits' already exists"),
    ([FOREST], "AddModel", FOREST, "model with name 'forest' and version '1' already exists"),
    (LINKED, "AddModelLinks", link("digits", "forest"), "The model with name 'forest' is already linked to 'digits'"),
]
CONFLICT: list[Case] = [
    (LINKED, "AddModel", FOREST_OF_TEXTS, INCOMPATIBLE),
    ([DIGITS, FOREST_OF_TEXTS, FOREST, link("digits", "forest")], "SetModelVersion", current("forest", "2"),
     INCOMPATIBLE),
    ([TEXTS, FOREST], "AddModelLinks", link("texts", "forest"),
     "Model with name 'forest' has incompatible input_type 'doubles'. "
     "Requested app to link to has input_type 'strings'."),
    ([*LINKED, SVM], "AddModelLinks", link("digits", "svm"), "A model with name forest is already linked to 'digits'."),
]  # fmt: skip
CASES = [
    pytest.param(registered, method, request, Failure(code, reason, message), id=f"{method}: {message[:60]}")
    for code, reason, cases in [
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT", INVALID),
        (grpc.StatusCode.NOT_FOUND, "NOT_FOUND", NOT_FOUND),
        (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS", ALREADY_EXISTS),
        (grpc.StatusCode.FAILED_PRECONDITION, "CONFLICT", CONFLICT),
    ]
    for registered, method, request, message in cases
]


@pytest.mark.parametrize(("registered", "method", "request_", "expected"), CASES)
def test_an_error_carries_code_reason_and_the_known_text(
    redis_server: RedisServer, registered: list[Any], method: str, request_: Any, expected: Failure
) -> None:
    async def scenario() -> None:
        async with serving(redis_server) as stub:
            await register(stub, *registered)
            assert await failure(getattr(stub, method)(request_)) == expected

    asyncio.run(scenario())


def test_an_application_with_a_name_too_long_for_a_status_is_answered(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with serving(redis_server) as stub:
            failed = await failure(stub.DeleteApplication(pb.DeleteApplicationRequest(name="x" * 100_000)))
            assert failed.code is grpc.StatusCode.NOT_FOUND
            assert failed.message.startswith("Application 'xxx")

    asyncio.run(scenario())

"""Requests in, records out, and back."""

import json
import re
from typing import Any

import pytest
from clipper.v1 import input_pb2
from clipper.v1 import management_service_pb2 as pb

from services.common.errors import InvalidInput
from services.common.input_schema import InputSchema, Range
from services.common.names import InputType
from services.common.records import Application, CurrentVersion, ModelVersion, Replica
from services.management import convert
from services.management.replicas import Applicant
from tests.fixtures import management as requests
from tests.fixtures.configurations import configuration

ALL_REQUESTS = [
    requests.application(),
    requests.model(),
    pb.DeleteApplicationRequest(name="a"),
    pb.GetApplicationRequest(name="a"),
    pb.GetAllApplicationsRequest(verbose=False),
    pb.DeleteModelVersionRequest(model_name="m", model_version="1"),
    pb.SetModelVersionRequest(model_name="m", model_version="1"),
    pb.GetModelRequest(model_name="m", model_version="1"),
    pb.GetAllModelsRequest(verbose=False),
    pb.AddModelLinksRequest(app_name="a", model_names=["m"]),
    pb.DeleteModelLinksRequest(app_name="a", model_names=["m"]),
    pb.GetLinkedModelsRequest(app_name="a"),
    pb.GetStateRequest(app_name="a", uid=0),
    pb.GetSelectionStateRequest(app_name="a", context=""),
    pb.DeleteSelectionStateRequest(app_name="a", context=""),
    pb.GetSelectionEventsRequest(app_name="a"),
    pb.GetReplicaRequest(model_name="m", model_version="1", replica_id=0),
    pb.GetAllReplicasRequest(verbose=False),
]
OPTIONAL_KEYS = {
    "priority", "share", "use_cache", "cache_ttl_micros", "selection_policy", "confidence_threshold", "loss",
    "loss_scale", "feedback_window_s", "context_ttl_s", "combine", "missing", "schema", "batching_policy",
    "batch_delay_micros", "after", "count", "replace", "input_names",
}  # fmt: skip
SINGLE_KEYS = [
    pytest.param(request, field.name, id=f"{request.DESCRIPTOR.name}.{field.name}")
    for request in ALL_REQUESTS
    for field in request.DESCRIPTOR.fields
    if not field.is_repeated and field.name not in OPTIONAL_KEYS
]


class TestRequiredKeys:
    @pytest.mark.parametrize(("request_", "key"), SINGLE_KEYS)
    def test_a_missing_one_is_named_with_the_schema(self, request_: Any, key: str) -> None:
        incomplete = type(request_)()
        incomplete.CopyFrom(request_)
        incomplete.ClearField(key)
        with pytest.raises(InvalidInput) as error:
            convert.complete(incomplete)
        assert str(error.value) == (
            f"Error parsing JSON: JSON object does not have required key: {key}. "
            f"Expected JSON schema: {convert.schema(incomplete)}"
        )

    @pytest.mark.parametrize("request_", ALL_REQUESTS, ids=lambda request: request.DESCRIPTOR.name)
    def test_a_complete_request_passes(self, request_: Any) -> None:
        assert convert.complete(request_) is request_

    def test_empty_values_are_not_missing(self) -> None:
        convert.complete(pb.DeleteApplicationRequest(name=""))
        convert.complete(pb.GetReplicaRequest(model_name="", model_version="", replica_id=0))

    def test_the_schema_names_keys_and_types(self) -> None:
        assert convert.schema(pb.AddModelRequest()) == (
            '\n  {\n   "model_name" := string,\n   "model_version" := string,\n   "labels" := [string],\n'
            '   "input_type" := string,\n   "container_name" := string,\n   "model_data_path" := string,\n'
            '   "batch_size" := int,\n   "batching_policy" := string (optional),\n'
            '   "batch_delay_micros" := int (optional),\n   "replace" := bool (optional),\n'
            '   "input_names" := [string] (optional)\n  }\n'
        )
        assert '"share" := double (optional)' in convert.schema(pb.AddApplicationRequest())
        assert '"policy_parameters" := {string: double} (optional)' in convert.schema(pb.AddApplicationRequest())
        assert '"verbose" := bool' in convert.schema(pb.GetAllModelsRequest())


class TestRequests:
    def test_an_application_is_read(self) -> None:
        application = convert.application(requests.application(default_output=""))
        assert application == Application("digits", InputType.DOUBLES, "", 100_000)

    def test_a_model_version_is_read(self) -> None:
        version = convert.model_version(requests.model(labels=["a", "b"], batch_size=8))
        assert version == ModelVersion(
            "forest", "1", InputType.DOUBLES, ("a", "b"), "forest:1", "/models/forest", batch_size=8
        )

    def test_options_are_read(self) -> None:
        application = convert.application(
            requests.application(priority="low", share=0.5, use_cache=False, cache_ttl_micros=7)
        )
        assert application == Application(
            "digits", InputType.DOUBLES, "-1.0", 100_000,
            priority="low", share=0.5, use_cache=False, cache_ttl_micros=7,
        )  # fmt: skip
        version = convert.model_version(requests.model(batching_policy="quantile", batch_delay_micros=2_000))
        assert (version.batching_policy, version.batch_delay_micros) == ("quantile", 2_000)
        assert convert.model_version(requests.model(input_names=["age", "größe"])).input_names == ("age", "größe")

    def test_a_schema_is_read_and_told_as_it_was_given(self) -> None:
        described = pb.InputSchema(
            names=["height", "age"],
            maximum=1e6,
            ranges={"age": pb.ElementRange(minimum=0), "height": pb.ElementRange()},
        )
        application = convert.application(requests.application(schema=described, missing="nan"))
        assert application.schema == InputSchema(
            names=("height", "age"), maximum=1e6, ranges=(Range("age", 0.0, None), Range("height", None, None))
        )
        assert application.missing == "nan"
        told = convert.get_application(application)
        assert told.application.schema == described
        assert json.loads(told.rest.data)["schema"] == {
            "names": ["height", "age"], "maximum": 1e6, "ranges": {"age": {"minimum": 0.0}, "height": {}},
        }  # fmt: skip

    def test_a_schema_that_says_nothing_is_refused_with_what_it_may_say(self) -> None:
        with pytest.raises(InvalidInput, match='"shape" := \\[int\\]'):
            convert.application(requests.application(schema=pb.InputSchema()))

    def test_the_schema_of_requests_has_that_of_inputs(self) -> None:
        assert '"schema" := {"shape" := [int], "names" := [string], "minimum" := double' in convert.schema(
            pb.AddApplicationRequest()
        )

    def test_options_of_selection_are_read_with_the_parameters_by_name(self) -> None:
        options: dict[str, Any] = {
            "selection_policy": "exp3", "confidence_threshold": 0.5, "loss": "squared", "loss_scale": 2.0,
            "feedback_window_s": 60, "context_ttl_s": 600, "combine": "average",
        }  # fmt: skip
        request = requests.application(policy_parameters={"gamma": 0.2, "eta": 1.0}, **options)
        assert convert.application(request) == Application(
            "digits", InputType.DOUBLES, "-1.0", 100_000, policy_parameters=(("eta", 1.0), ("gamma", 0.2)), **options
        )

    def test_a_page_of_events_is_the_longest_unless_told(self) -> None:
        assert convert.events_page(pb.GetSelectionEventsRequest(app_name="a")) == ("a", "", 1_000)
        request = pb.GetSelectionEventsRequest(app_name="a", after="5-0", count=1)
        assert convert.events_page(request) == ("a", "5-0", 1)

    @pytest.mark.parametrize("count", [0, -1, 1_001])
    def test_a_page_of_events_has_a_length_that_can_be_had(self, count: int) -> None:
        with pytest.raises(InvalidInput, match=f"The count must be between 1 and 1000, but it is {count}"):
            convert.events_page(pb.GetSelectionEventsRequest(app_name="a", count=count))

    def test_an_option_that_is_given_empty_is_not_taken_for_its_default(self) -> None:
        application = convert.application(requests.application(priority="", share=0.0))
        assert (application.priority, application.share) == ("", 0.0)

    @pytest.mark.parametrize(
        ("alias", "input_type"),
        [
            (alias, input_type)
            for input_type, aliases in {
                InputType.BYTES: "bytes byte b",
                InputType.INTS: "integers ints integer int i",
                InputType.FLOATS: "floats float f",
                InputType.DOUBLES: "doubles double d",
                InputType.STRINGS: "strings string str strs s",
            }.items()
            for alias in aliases.split()
        ],
    )
    def test_input_types_have_aliases(self, alias: str, input_type: InputType) -> None:
        assert convert.application(requests.application(input_type=alias)).input_type is input_type
        assert convert.model_version(requests.model(input_type=alias)).input_type is input_type

    @pytest.mark.parametrize("unknown", ["", "complex", "double s"])
    def test_unknown_input_types_are_answered(self, unknown: str) -> None:
        with pytest.raises(InvalidInput, match=re.escape(f"Invalid input type '{unknown}'")):
            convert.application(requests.application(input_type=unknown))
        with pytest.raises(InvalidInput, match=re.escape(f"Invalid input type '{unknown}'")):
            convert.model_version(requests.model(input_type=unknown))


class TestLeases:
    def test_an_applicant_is_read_with_and_without_an_id(self) -> None:
        new = Applicant("forest", "1", InputType.DOUBLES, "10.0.0.1:9000")
        assert convert.applicant(requests.applicant()) == new
        again = Applicant("forest", "1", InputType.DOUBLES, "10.0.0.1:9000", replica_id=0)
        assert convert.applicant(requests.applicant(model_replica_id=0)) == again

    def test_the_first_message_must_describe_the_replica(self) -> None:
        with pytest.raises(InvalidInput, match="must say which replica this is"):
            convert.applicant(requests.RENEWAL)

    @pytest.mark.parametrize("number", [input_pb2.INPUT_TYPE_UNSPECIFIED, 9])
    def test_a_replica_must_have_a_known_input_type(self, number: int) -> None:
        with pytest.raises(InvalidInput, match=f"Invalid input type {number} of a replica"):
            convert.applicant(requests.applicant(input_type=number))

    def test_a_lease_tells_id_and_time_to_live(self) -> None:
        replica = Replica("forest", "1", 3, InputType.DOUBLES, "10.0.0.1:9000")
        assert convert.lease(replica, 0.5) == pb.HoldReplicaLeaseResponse(
            model_replica_id=3, time_to_live_micros=500_000
        )


class TestAnswers:
    @pytest.mark.parametrize("input_type", list(InputType))
    def test_carry_typed_fields_beside_the_rest_body(self, input_type: InputType) -> None:
        application = Application(
            "digits", input_type, "-1.0", 100_000, ("forest",), priority="low", share=2.5, cache_ttl_micros=3,
            selection_policy="exp3", policy_parameters=(("eta", 0.5),), schema=InputSchema((2,)),
        )  # fmt: skip
        version = ModelVersion(
            "forest", "1", input_type, ("a",), "forest:1", "/models/forest", 8,
            batching_policy="aimd", batch_delay_micros=500, input_names=("age", "income"),
        )  # fmt: skip
        replica = Replica("forest", "1", 2, input_type, "10.0.0.1:9000")
        known = configuration(application, version, replica, CurrentVersion("forest", "1"))
        number = input_pb2.InputType.Value("INPUT_TYPE_" + input_type.name)
        assert convert.get_application(application).application == pb.Application(
            name="digits", input_type=number, default_output="-1.0", latency_slo_micros=100_000,
            linked_models=["forest"], priority="low", share=2.5, use_cache=True, cache_ttl_micros=3,
            selection_policy="exp3", policy_parameters={"eta": 0.5}, loss="zero_one", loss_scale=1.0,
            feedback_window_s=3_600, context_ttl_s=2_592_000, combine="vote", missing="error",
            schema=pb.InputSchema(shape=[2]),
        )  # fmt: skip
        assert convert.get_model(known, version).model == pb.ModelVersion(
            model_name="forest", model_version="1", input_type=number, labels=["a"], container_name="forest:1",
            model_data_path="/models/forest", batch_size=8, is_current_version=True,
            batching_policy="aimd", batch_delay_micros=500, input_names=["age", "income"],
        )  # fmt: skip
        assert convert.get_replica(replica).replica == pb.Replica(
            model_name="forest", model_version="1", model_replica_id=2, input_type=number, address="10.0.0.1:9000"
        )

    def test_a_selection_state_names_policy_and_arms(self) -> None:
        application = Application(
            "digits", InputType.INTS, "", 1, ("forest", "svm"), selection_policy="exp3", registration=4
        )
        answer = convert.get_selection_state(application, {"forest": -1.0, "svm": 0.5})
        assert (answer.selection_policy, list(answer.arms)) == ("exp3", ["forest", "svm"])
        assert dict(answer.state) == {"forest": -1.0, "svm": 0.5}
        assert answer.rest.data == (
            b'{"selection_policy":"exp3","arms":["forest","svm"],"state":{"forest":-1.0,"svm":0.5}}'
        )

    def test_without_a_record_have_no_typed_field_and_an_empty_object(self) -> None:
        for answer in (convert.get_application(None), convert.get_model(configuration(), None)):
            assert [field.name for field, _ in answer.ListFields()] == ["rest"]
            assert answer.rest.data == b"{}"
        assert convert.get_replica(None).rest.data == b"{}"

    def test_lists_are_sorted_with_replica_ids_as_numbers(self) -> None:
        replicas = [Replica("forest", "1", number, InputType.INTS, f"h:{number + 1}") for number in (10, 9)]
        answer = convert.get_all_replicas(configuration(*replicas), {"forest:1:9": 0.25}, verbose=False)
        assert answer.rest.data == b'["forest:1:9","forest:1:10"]'
        assert [replica.model_replica_id for replica in answer.replicas] == [9, 10]

    def test_a_replica_whose_lease_has_just_gone_is_older_than_any_life(self) -> None:
        replicas = [Replica("forest", "1", number, InputType.INTS, f"h:{number + 1}") for number in (0, 1)]
        answer = convert.get_all_replicas(configuration(*replicas), {"forest:1:0": 0.25}, verbose=False)
        day_micros = 86_400 * 10**6
        assert answer.replicas[0].lease_age_micros == 250_000
        assert answer.replicas[1].lease_age_micros > 10_000 * day_micros

    def test_rest_bodies_call_themselves_json(self) -> None:
        assert convert.text("Success!").content_type == "application/json"
        assert convert.text("Success!").data == b"Success!"

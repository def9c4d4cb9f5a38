"""The bodies of the admin REST, byte for byte."""

from services.common.names import InputType
from services.common.records import Application, ModelVersion, Replica
from services.management import rest

DIGITS = Application("digits", InputType.INTS, "é", 100_000, ("forest",), registration=3)
FOREST = ModelVersion("forest", "1", InputType.DOUBLES, (), "NO_CONTAINER", "DEPRECATED", 100, registration=4)
REPLICA = Replica("forest", "1", 2, InputType.BYTES, "10.0.0.1:9000")


def test_commands_are_confirmed_with_the_known_sentences() -> None:
    assert rest.application_added(DIGITS) == "Successfully added application with name 'digits'"
    assert rest.application_deleted("digits") == "Successfully deleted application with name 'digits'"
    assert rest.model_added(FOREST) == "Successfully added model with name 'forest' and input type 'doubles'"
    assert rest.model_deleted("forest", "1") == "Successfully deleted model with name 'forest' and version '1'"
    assert rest.version_set("forest", "1") == "Successfully set model with name 'forest' to version '1'"
    linked = "Successfully linked model with name 'forest' to application 'digits'"
    assert rest.links_added("digits", ["forest"]) == linked
    linked = "Successfully linked models with names 'forest', 'svm' to application 'digits'"
    assert rest.links_added("digits", ["forest", "svm"]) == linked
    forgotten = "Successfully deleted selection state of context 'ann' of application 'digits'"
    assert rest.state_deleted("digits", "ann") == forgotten
    assert rest.LINKS_DELETED == "Success!"
    assert rest.PONG == "PONG"


def test_an_application_has_the_known_keys() -> None:
    assert rest.to_json(rest.application(DIGITS)) == (
        '{"input_type":"integers","default_output":"é","latency_slo_micros":100000,'
        '"name":"digits","linked_models":["forest"],'
        '"priority":"normal","share":1.0,"use_cache":true,"cache_ttl_micros":0,'
        '"selection_policy":"single","policy_parameters":{},"confidence_threshold":0.0,"loss":"zero_one",'
        '"loss_scale":1.0,"feedback_window_s":3600,"context_ttl_s":2592000,"combine":"vote","missing":"error","schema":{}}'
    )


def test_a_model_version_has_the_known_keys_and_no_labels_are_an_empty_list() -> None:
    assert rest.to_json(rest.model(FOREST, is_current=True)) == (
        '{"model_name":"forest","model_version":"1","input_type":"doubles","labels":[],'
        '"container_name":"NO_CONTAINER","model_data_path":"DEPRECATED","is_current_version":true,'
        '"batching_policy":"","batch_delay_micros":0,"input_names":[]}'
    )


def test_a_replica_has_the_known_keys() -> None:
    assert rest.to_json(rest.replica(REPLICA)) == (
        '{"model_id":"forest:1","model_name":"forest","model_version":"1","model_replica_id":2,"input_type":"bytes"}'
    )


def test_nothing_is_an_empty_object() -> None:
    assert rest.to_json(rest.NOTHING) == "{}"

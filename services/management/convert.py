"""The only code of this service that turns protobuf messages into the house's own types and back."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from clipper.v1 import management_service_pb2 as pb
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from services.common import input_types
from services.common.errors import InvalidInput
from services.common.input_schema import InputSchema, Range
from services.common.names import parse_input_type
from services.common.records import Application, Configuration, ModelVersion, Replica
from services.management import limits, models, rest
from services.management.replicas import Applicant

_MessageT = TypeVar("_MessageT", bound=Message)

_VersionRequest = pb.DeleteModelVersionRequest | pb.SetModelVersionRequest | pb.GetModelRequest | pb.GetReplicaRequest

_JSON_TYPES = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_INT32: "int",
    FieldDescriptor.TYPE_INT64: "int",
    FieldDescriptor.TYPE_UINT32: "int",
    FieldDescriptor.TYPE_DOUBLE: "double",
}

# The age of a lease that has gone since its replica was looked up: longer than anything lives.
_NO_LEASE_S = 1e9

# The keys that Clipper's admin clients have never had to send; the records have their defaults.
_APPLICATION_OPTIONS = (
    "priority", "share", "use_cache", "cache_ttl_micros", "selection_policy", "confidence_threshold", "loss",
    "loss_scale", "feedback_window_s", "context_ttl_s", "combine", "missing",
)  # fmt: skip
_MODEL_OPTIONS = ("batching_policy", "batch_delay_micros")
_OPTIONS: Mapping[type[Message], Sequence[str]] = {
    pb.AddApplicationRequest: (*_APPLICATION_OPTIONS, "policy_parameters", "schema"),
    pb.AddModelRequest: (*_MODEL_OPTIONS, "replace", "input_names"),
    pb.GetSelectionEventsRequest: ("after", "count"),
}


def complete(request: _MessageT) -> _MessageT:
    """Returns a request whose keys are all there, but for those that have a default.

    Raises:
        InvalidInput: one is missing.
    """
    options = _OPTIONS.get(type(request), ())
    for field in request.DESCRIPTOR.fields:
        if field.has_presence and field.name not in options and not request.HasField(field.name):
            raise InvalidInput(
                f"Error parsing JSON: JSON object does not have required key: {field.name}. "
                f"Expected JSON schema: {schema(request)}"
            )
    return request


def schema(request: Message) -> str:
    """A request's JSON schema, in the notation of the admin REST."""
    lines, options = [], _OPTIONS.get(type(request), ())
    for field in request.DESCRIPTOR.fields:
        lines.append(f'   "{field.name}" := {_json_type(field)}' + (" (optional)" if field.name in options else ""))
    return "\n  {\n" + ",\n".join(lines) + "\n  }\n"


def application(request: pb.AddApplicationRequest) -> Application:
    """The application that a request describes.

    Raises:
        InvalidInput: a key is missing, there is no such input type, or no input could be like its schema.
    """
    complete(request)
    return Application(
        name=request.name,
        input_type=parse_input_type(request.input_type),
        default_output=request.default_output,
        latency_slo_micros=request.latency_slo_micros,
        policy_parameters=tuple(sorted(request.policy_parameters.items())),
        schema=_input_schema(request.schema) if request.HasField("schema") else None,
        **_given(request, _APPLICATION_OPTIONS),
    )


def model_version(request: pb.AddModelRequest) -> ModelVersion:
    """The model version that a request describes.

    Raises:
        InvalidInput: a key is missing, or there is no such input type.
    """
    complete(request)
    return ModelVersion(
        model_name=request.model_name,
        model_version=request.model_version,
        input_type=parse_input_type(request.input_type),
        labels=tuple(request.labels),
        container_name=request.container_name,
        model_data_path=request.model_data_path,
        batch_size=request.batch_size,
        input_names=tuple(request.input_names),
        **_given(request, _MODEL_OPTIONS),
    )


def version_id(request: _VersionRequest) -> tuple[str, str]:
    """The names of the model and the version that a request is about.

    Raises:
        InvalidInput: a key is missing.
    """
    complete(request)
    return request.model_name, request.model_version


def links(request: pb.AddModelLinksRequest | pb.DeleteModelLinksRequest) -> tuple[str, tuple[str, ...]]:
    """The application and the models that a request is about.

    Raises:
        InvalidInput: a key is missing.
    """
    complete(request)
    return request.app_name, tuple(request.model_names)


def context(request: pb.GetSelectionStateRequest | pb.DeleteSelectionStateRequest) -> tuple[str, str]:
    """The application and the context that a request is about.

    Raises:
        InvalidInput: a key is missing.
    """
    complete(request)
    return request.app_name, request.context


def events_page(request: pb.GetSelectionEventsRequest) -> tuple[str, str, int]:
    """The application whose events a request asks for, where they begin, and how many entries of the log at most.

    Raises:
        InvalidInput: the application is missing, or the number is not one that can be asked for.
    """
    complete(request)
    count = request.count if request.HasField("count") else limits.MOST_EVENTS
    if not 1 <= count <= limits.MOST_EVENTS:
        raise InvalidInput(f"The count must be between 1 and {limits.MOST_EVENTS}, but it is {count}")
    return request.app_name, request.after, count


def applicant(request: pb.HoldReplicaLeaseRequest) -> Applicant:
    """The replica that opens a lease.

    Raises:
        InvalidInput: the message does not describe one, or not a valid one.
    """
    if not request.HasField("replica"):
        raise InvalidInput("The first message of a lease must say which replica this is")
    replica = request.replica
    if replica.input_type not in input_types.FROM_PROTO:
        raise InvalidInput(f"Invalid input type {replica.input_type} of a replica")
    return Applicant(
        model_name=replica.model_name,
        model_version=replica.model_version,
        input_type=input_types.FROM_PROTO[replica.input_type],
        address=replica.address,
        replica_id=replica.model_replica_id if replica.HasField("model_replica_id") else None,
    )


def lease(replica: Replica, time_to_live_s: float) -> pb.HoldReplicaLeaseResponse:
    """Confirms a lease."""
    return pb.HoldReplicaLeaseResponse(
        model_replica_id=replica.replica_id, time_to_live_micros=round(time_to_live_s * 1_000_000)
    )


def text(sentence: str) -> HttpBody:
    """A REST body that is a sentence as it stands, not a JSON string: so admin clients know it."""
    return HttpBody(content_type="application/json", data=sentence.encode())


def json(value: object) -> HttpBody:
    """A REST body in JSON."""
    return text(rest.to_json(value))


def get_application(found: Application | None) -> pb.GetApplicationResponse:
    """The answer with an application, or without."""
    if found is None:
        return pb.GetApplicationResponse(rest=json(rest.NOTHING))
    return pb.GetApplicationResponse(application=_application(found), rest=json(rest.application(found)))


def get_all_applications(known: Configuration, verbose: bool) -> pb.GetAllApplicationsResponse:
    """The answer with all applications."""
    found = [known.applications[name] for name in sorted(known.applications)]
    body = [rest.application(each) if verbose else each.name for each in found]
    return pb.GetAllApplicationsResponse(applications=map(_application, found), rest=json(body))


def get_model(known: Configuration, found: ModelVersion | None) -> pb.GetModelResponse:
    """The answer with a model version, or without."""
    if found is None:
        return pb.GetModelResponse(rest=json(rest.NOTHING))
    is_current = models.is_current(known, found)
    return pb.GetModelResponse(model=_model(found, is_current), rest=json(rest.model(found, is_current)))


def get_all_models(known: Configuration, verbose: bool) -> pb.GetAllModelsResponse:
    """The answer with all model versions."""
    found = sorted(known.model_versions.values(), key=lambda version: (version.model_name, version.model_version))
    current = [models.is_current(known, version) for version in found]
    body = [rest.model(*each) if verbose else each[0].key for each in zip(found, current, strict=True)]
    return pb.GetAllModelsResponse(models=map(_model, found, current), rest=json(body))


def get_linked_models(names: tuple[str, ...]) -> pb.GetLinkedModelsResponse:
    """The answer with an application's links."""
    return pb.GetLinkedModelsResponse(model_names=names, rest=json(names))


def get_replica(found: Replica | None) -> pb.GetReplicaResponse:
    """The answer with a replica, or without."""
    if found is None:
        return pb.GetReplicaResponse(rest=json(rest.NOTHING))
    return pb.GetReplicaResponse(replica=_replica(found), rest=json(rest.replica(found)))


def get_all_replicas(
    known: Configuration, lease_ages_s: Mapping[str, float], verbose: bool
) -> pb.GetAllReplicasResponse:
    """The answer with all replicas and the ages of their leases."""
    found = sorted(known.replicas.values(), key=lambda each: (each.model_name, each.model_version, each.replica_id))
    body = [rest.replica(each) if verbose else each.key for each in found]
    ages_s = [lease_ages_s.get(each.key, _NO_LEASE_S) for each in found]
    return pb.GetAllReplicasResponse(replicas=map(_replica, found, ages_s), rest=json(body))


def get_selection_state(record: Application, state: Mapping[str, float]) -> pb.GetSelectionStateResponse:
    """The answer with what was learned in a context."""
    body = json(rest.selection_state(record, state))
    return pb.GetSelectionStateResponse(
        selection_policy=record.selection_policy, arms=record.linked_models, state=state, rest=body
    )


def get_selection_events(events: Sequence[str], next_after: str) -> pb.GetSelectionEventsResponse:
    """The answer with a page of events, which are JSON already."""
    body = f'{{"events":[{",".join(events)}],"next":{rest.to_json(next_after)}}}'
    return pb.GetSelectionEventsResponse(events=events, next=next_after, rest=text(body))


def _json_type(field: Any) -> str:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        key, value = (_json_type(each) for each in entry.fields)
        return f"{{{key}: {value}}}"
    if entry is not None:
        return "{" + ", ".join(f'"{each.name}" := {_json_type(each)}' for each in entry.fields) + "}"
    json_type = _JSON_TYPES[field.type]
    return f"[{json_type}]" if field.is_repeated else json_type


def _input_schema(message: pb.InputSchema) -> InputSchema:
    described = InputSchema(
        shape=tuple(message.shape),
        names=tuple(message.names),
        ranges=tuple(Range(name, **_bounds(message.ranges[name])) for name in sorted(message.ranges)),
        **_bounds(message),
    )
    # As what is misspelt is left out before it comes here.
    if described == InputSchema():
        raise InvalidInput(f"The schema says nothing of inputs. It may be {schema(message)}")
    return described


def _bounds(message: pb.InputSchema | pb.ElementRange) -> dict[str, float | None]:
    return {name: getattr(message, name) if message.HasField(name) else None for name in ("minimum", "maximum")}


def _schema_message(described: InputSchema | None) -> pb.InputSchema | None:
    if described is None:
        return None
    ranges = {name: pb.ElementRange(minimum=minimum, maximum=maximum) for name, minimum, maximum in described.ranges}
    return pb.InputSchema(
        shape=described.shape,
        names=described.names,
        minimum=described.minimum,
        maximum=described.maximum,
        ranges=ranges,
    )


def _given(request: Message, options: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(request, name) for name in options if request.HasField(name)}


def _application(record: Application) -> pb.Application:
    return pb.Application(
        name=record.name,
        input_type=input_types.TO_PROTO[record.input_type],
        default_output=record.default_output,
        latency_slo_micros=record.latency_slo_micros,
        linked_models=record.linked_models,
        priority=record.priority,
        share=record.share,
        use_cache=record.use_cache,
        cache_ttl_micros=record.cache_ttl_micros,
        selection_policy=record.selection_policy,
        policy_parameters=dict(record.policy_parameters),
        confidence_threshold=record.confidence_threshold,
        loss=record.loss,
        loss_scale=record.loss_scale,
        feedback_window_s=record.feedback_window_s,
        context_ttl_s=record.context_ttl_s,
        combine=record.combine,
        missing=record.missing,
        schema=_schema_message(record.schema),
    )


def _model(record: ModelVersion, is_current: bool) -> pb.ModelVersion:
    return pb.ModelVersion(
        model_name=record.model_name,
        model_version=record.model_version,
        input_type=input_types.TO_PROTO[record.input_type],
        labels=record.labels,
        container_name=record.container_name,
        model_data_path=record.model_data_path,
        batch_size=record.batch_size,
        is_current_version=is_current,
        batching_policy=record.batching_policy,
        batch_delay_micros=record.batch_delay_micros,
        input_names=record.input_names,
    )


def _replica(record: Replica, lease_age_s: float | None = None) -> pb.Replica:
    return pb.Replica(
        model_name=record.model_name,
        model_version=record.model_version,
        model_replica_id=record.replica_id,
        input_type=input_types.TO_PROTO[record.input_type],
        address=record.address,
        lease_age_micros=None if lease_age_s is None else round(lease_age_s * 1e6),
    )

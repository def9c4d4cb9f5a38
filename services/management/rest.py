"""The bodies of the admin REST, as existing admin clients expect them: sentences for commands, JSON for getters."""

import json
from collections.abc import Mapping, Sequence

from services.common.input_schema import InputSchema
from services.common.records import Application, ModelVersion, Replica

PONG = "PONG"
LINKS_DELETED = "Success!"
NOTHING: dict[str, object] = {}


def application_added(application: Application) -> str:
    """Confirms a registered application."""
    return f"Successfully added application with name '{application.name}'"


def application_deleted(name: str) -> str:
    """Confirms a deleted application."""
    return f"Successfully deleted application with name '{name}'"


def model_added(version: ModelVersion) -> str:
    """Confirms a registered model version."""
    return f"Successfully added model with name '{version.model_name}' and input type '{version.input_type}'"


def model_deleted(model_name: str, model_version: str) -> str:
    """Confirms a deleted model version."""
    return f"Successfully deleted model with name '{model_name}' and version '{model_version}'"


def version_set(model_name: str, model_version: str) -> str:
    """Confirms the current version."""
    return f"Successfully set model with name '{model_name}' to version '{model_version}'"


def links_added(app_name: str, model_names: Sequence[str]) -> str:
    """Confirms links."""
    if len(model_names) > 1:
        names = ", ".join(f"'{name}'" for name in model_names)
        return f"Successfully linked models with names {names} to application '{app_name}'"
    return f"Successfully linked model with name '{model_names[0]}' to application '{app_name}'"


def state_deleted(app_name: str, context: str) -> str:
    """Confirms a forgotten context."""
    return f"Successfully deleted selection state of context '{context}' of application '{app_name}'"


def application(application: Application) -> dict[str, object]:
    """The JSON object that describes an application; what the original had comes first."""
    return {
        "input_type": application.input_type,
        "default_output": application.default_output,
        "latency_slo_micros": application.latency_slo_micros,
        "name": application.name,
        "linked_models": application.linked_models,
        "priority": application.priority,
        "share": application.share,
        "use_cache": application.use_cache,
        "cache_ttl_micros": application.cache_ttl_micros,
        "selection_policy": application.selection_policy,
        "policy_parameters": dict(application.policy_parameters),
        "confidence_threshold": application.confidence_threshold,
        "loss": application.loss,
        "loss_scale": application.loss_scale,
        "feedback_window_s": application.feedback_window_s,
        "context_ttl_s": application.context_ttl_s,
        "combine": application.combine,
        "missing": application.missing,
        "schema": _schema(application.schema),
    }


def model(version: ModelVersion, is_current: bool) -> dict[str, object]:
    """The JSON object that describes a model version; what the original had, which is no batch size, comes first."""
    return {
        "model_name": version.model_name,
        "model_version": version.model_version,
        "input_type": version.input_type,
        "labels": version.labels,
        "container_name": version.container_name,
        "model_data_path": version.model_data_path,
        "is_current_version": is_current,
        "batching_policy": version.batching_policy,
        "batch_delay_micros": version.batch_delay_micros,
        "input_names": version.input_names,
    }


def replica(replica: Replica) -> dict[str, object]:
    """The JSON object that describes a replica."""
    return {
        "model_id": replica.version_key,
        "model_name": replica.model_name,
        "model_version": replica.model_version,
        "model_replica_id": replica.replica_id,
        "input_type": replica.input_type,
    }


def selection_state(application: Application, state: Mapping[str, float]) -> dict[str, object]:
    """The JSON object with what was learned in a context."""
    return {
        "selection_policy": application.selection_policy,
        "arms": application.linked_models,
        "state": state,
    }


def _schema(described: InputSchema | None) -> dict[str, object]:
    """The JSON object with what was asked of inputs, and nothing else."""
    if described is None:
        return {}
    ranges = {name: _given({"minimum": low, "maximum": high}) for name, low, high in described.ranges}
    return _given({
        "shape": described.shape,
        "names": described.names,
        "minimum": described.minimum,
        "maximum": described.maximum,
        "ranges": ranges,
    })  # fmt: skip


def _given(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value not in (None, (), {})}


def to_json(value: object) -> str:
    """JSON text, compact, with letters of every script as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

"""What to do about what is registered already: a sentence for the end of the refusal to register it.

A program that is run again meets what it registered before. What is there just as it asks can be left; what is not has
to be changed by a call of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from clipper_admin.naming import NO_CONTAINER, next_version

# In what the admin REST says when it refuses for this reason.
EXISTS = "already exists"
LINKED = "is already linked to"

_GO_ON = "so go on without this call, or give exist_ok=True"
_NAMES = {"latency_slo_micros": "slo_micros"}


def for_application(registered: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """How to go on with an application, described as it is registered and as it was to be."""
    found = differences(registered, asked)
    if not found:
        return f"It is registered just like this, {_GO_ON}"
    return (
        f"It is registered with {found}. To change that, call unregister_application('{registered['name']}'), "
        "which ends its links and forgets what its selection policy has learned, too, and then register it again"
    )


def for_version(registered: Mapping[str, Any], asked: Mapping[str, Any], versions: Sequence[str], replicas: int) -> str:
    """How to go on with a model version, described as it is registered and as it was to be.

    Args:
        registered: its description.
        asked: what it was to be.
        versions: the model's registered versions.
        replicas: how many of its replicas live.
    """
    name, version = registered["model_name"], registered["model_version"]
    found = differences(registered, asked)
    kept = "" if found else f" If the model itself has not changed either, {_GO_ON.removeprefix('so ')}."
    return (
        f"It is registered with {found or 'the same options'}{_how_many(registered, replicas)}.{kept} "
        f"What has changed is deployed as another version, such as {next_version(versions)!r} (version=None takes the "
        "next), or as this one with replace=True, or after "
        f"stop_versioned_models({{'{name}': ['{version}']}}); a model that loses its last version loses its links, too"
    )


def for_other_version(registered: Mapping[str, Any], found: str) -> str:
    """How to go on with a version that is registered with what differs from what was to be, though it may exist."""
    name, version = registered["model_name"], registered["model_version"]
    return (
        f"model with name '{name}' and version '{version}' already exists, with {found}. replace=True puts what is "
        "deployed now in its place, and version=None makes it the next version"
    )


def for_other_input_type(registered: Mapping[str, Any]) -> str:
    """How to go on with a version that cannot be replaced."""
    name, version = registered["model_name"], registered["model_version"]
    return (
        f"model with name '{name}' and version '{version}' takes {registered['input_type']}, and cannot be replaced by "
        "what takes something else, since both serve for a moment. Deploy it as another version, or as this one after "
        f"stop_versioned_models({{'{name}': ['{version}']}})"
    )


def for_link(app_name: str, model_name: str, linked_models: Sequence[str]) -> str:
    """How to go on with a link from an application that is linked to these models."""
    if model_name in linked_models:
        return f"That is what was asked for, {_GO_ON}"
    return (
        f"Call unlink_model_from_app('{app_name}', '{linked_models[0]}') first, or register the application with "
        "another selection_policy than 'single', which takes several models"
    )


def differences(registered: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """In what of that which a description tells the two differ; empty: in nothing."""
    return ", ".join(
        f"{_NAMES.get(name, name)} {registered[name]!r} instead of {value!r}"
        for name, value in asked.items()
        if name in registered and registered[name] != value
    )


def _how_many(registered: Mapping[str, Any], replicas: int) -> str:
    if replicas or registered["container_name"] == NO_CONTAINER:
        return ""
    name, version = registered["model_name"], registered["model_version"]
    return f", but without a replica: set_num_replicas('{name}', 1, '{version}') starts one"

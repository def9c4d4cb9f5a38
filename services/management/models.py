"""What may happen to model versions: pure decisions, from the configuration to the changes to make.

Each decision raises from the error tree when it does not allow the request. The messages are those that users of the
admin REST know.
"""

import dataclasses
from collections.abc import Iterator

from services.common.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from services.common.input_schema import check_input_names, listed
from services.common.names import ADAPTIVE_BATCH_SIZE, BATCHING_POLICIES, check_label, check_name
from services.common.records import (
    Application,
    Change,
    Configuration,
    CurrentVersion,
    Kind,
    ModelVersion,
    version_key,
)
from services.management import limits


def add(known: Configuration, version: ModelVersion, *, replace: bool = False) -> list[Change]:
    """Registers a model version and makes it the current one; with `replace`, in the place of one that is registered.

    Raises:
        InvalidInput: its name, version, a label, its batch size, its batching or its input names are not valid.
        AlreadyExists: the version is registered, and not to be replaced.
        Conflict: the version to replace, or an application that is linked to the model, has another input type, or that
            application other names.
    """
    _check(version)
    registered = known.model_versions.get(version.key)
    registration = Change.put(dataclasses.replace(version, registration=known.revision + 1))
    if registered is None:
        _check_links(known, version)
        return [registration, Change.put(CurrentVersion(version.model_name, version.model_version))]
    described = f"model with name '{version.model_name}' and version '{version.model_version}'"
    if not replace:
        raise AlreadyExists(f"{described} already exists")
    if registered.input_type is not version.input_type:
        raise Conflict(
            f"{described} takes '{registered.input_type}' and cannot be replaced by one that takes "
            f"'{version.input_type}'"
        )
    if is_current(known, version):
        _check_links(known, version)
    return [registration]


def delete(known: Configuration, model_name: str, model_version: str) -> list[Change]:
    """Deletes a model version; a model that loses its last one loses its links.

    Raises:
        NotFound: the version is not registered.
    """
    key = version_key(model_name, model_version)
    change = known.deletion(Kind.MODEL_VERSION, key)
    if change is None:
        raise NotFound(f"model with name '{model_name}' and version '{model_version}' does not exist")
    changes = [change]
    if CurrentVersion(model_name, model_version) == known.current_versions.get(model_name):
        changes.append(Change.delete(known.current_versions[model_name]))
    if not any(other.key != key for other in versions(known, model_name)):
        changes += [_unlinked(application, model_name) for application in _linked_applications(known, model_name)]
    return changes


def set_current(known: Configuration, model_name: str, model_version: str) -> list[Change]:
    """Makes a registered version the current one.

    Raises:
        NotFound: the model or the version is not registered.
        Conflict: an application of another input type, or with other names, is linked to the model.
    """
    if not any(versions(known, model_name)):
        raise NotFound(f"Cannot set version for nonexistent model '{model_name}'")
    version = known.model_versions.get(version_key(model_name, model_version))
    if version is None:
        raise NotFound(f"Cannot set non-existent version '{model_version}' for model with name '{model_name}'")
    _check_links(known, version)
    if is_current(known, version):
        return []
    return [Change.put(CurrentVersion(model_name, model_version))]


def versions(known: Configuration, model_name: str) -> Iterator[ModelVersion]:
    """The registered versions of a model."""
    return (version for version in known.model_versions.values() if version.model_name == model_name)


def is_current(known: Configuration, version: ModelVersion) -> bool:
    """Whether linked applications use this version."""
    current = known.current_versions.get(version.model_name)
    return current is not None and current.model_version == version.model_version


def check_identifier(kind: str, text: str) -> None:
    """Checks a "model name" or a "model version".

    Raises:
        InvalidInput: it cannot be one.
    """
    if "," in text or ":" in text:
        raise InvalidInput(f"Invalid {kind} supplied: {text}. Contains one of: ',', ':'")
    check_name(kind, text)


def _check(version: ModelVersion) -> None:
    check_identifier("model name", version.model_name)
    check_identifier("model version", version.model_version)
    limits.check_count("labels", len(version.labels), limits.MOST_LABELS)
    for label in version.labels:
        limits.check_length("label", label, limits.LONGEST_LABEL)
        check_label(label)
    limits.check_length("container name", version.container_name, limits.LONGEST_PATH)
    limits.check_length("model data path", version.model_data_path, limits.LONGEST_PATH)
    if version.batch_size <= 0 and version.batch_size != ADAPTIVE_BATCH_SIZE:
        raise InvalidInput(f"The batch size must be positive or DEFAULT_BATCH_SIZE, which is {ADAPTIVE_BATCH_SIZE}")
    _check_batching(version)
    check_input_names(version.input_names, version.input_type)


def _check_batching(version: ModelVersion) -> None:
    if version.batching_policy and version.batching_policy not in BATCHING_POLICIES:
        known = ", ".join(f"'{policy}'" for policy in BATCHING_POLICIES)
        raise InvalidInput(f"Invalid batching policy '{version.batching_policy}'. It must be one of {known}")
    if version.batching_policy == "fixed" and version.batch_size == ADAPTIVE_BATCH_SIZE:
        raise InvalidInput("The batching policy 'fixed' needs a positive batch size")
    if version.batch_delay_micros < 0:
        raise InvalidInput(f"The batch delay must not be negative, but it is {version.batch_delay_micros} microseconds")


def _check_links(known: Configuration, version: ModelVersion) -> None:
    for application in _linked_applications(known, version.model_name):
        linked = f"Model with name '{version.model_name}' is already linked to app '{application.name}'"
        if application.input_type is not version.input_type:
            raise Conflict(
                f"{linked} using input type '{application.input_type}'. The input type you provided for a new version "
                f"of the model, '{version.input_type}', is not compatible."
            )
        if not version.names_inputs_like(application):
            raise Conflict(
                f"{linked} whose schema has the names ({listed(application.input_names)}). The input_names you "
                f"provided for version '{version.model_version}', ({listed(version.input_names)}), are not compatible: "
                "they must be the same, in the same order."
            )


def _linked_applications(known: Configuration, model_name: str) -> list[Application]:
    applications = (known.applications[name] for name in sorted(known.applications))
    return [application for application in applications if model_name in application.linked_models]


def _unlinked(application: Application, model_name: str) -> Change:
    kept = tuple(name for name in application.linked_models if name != model_name)
    return Change.put(dataclasses.replace(application, linked_models=kept))

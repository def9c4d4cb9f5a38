"""What may happen to applications and their links: pure decisions, from the configuration to the changes to make.

Each decision raises from the error tree when it does not allow the request. The messages are those that users of the
admin REST know.
"""

import dataclasses
from collections.abc import Sequence

from services.common.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from services.common.input_schema import listed
from services.common.names import MISSING, PRIORITIES, SINGLE, InputType, check_name
from services.common.records import Application, Change, Configuration, Kind, ModelVersion
from services.management import limits, models, selection

_SMALLEST_SHARE = 0.001
_LARGEST_SHARE = 1000.0
# The types of numbers that NaN is one of.
_WITH_NAN = (InputType.FLOATS, InputType.DOUBLES)


def add(known: Configuration, application: Application, policy_prefixes: Sequence[str] = ()) -> list[Change]:
    """Registers an application.

    Args:
        known: what is registered.
        application: the application.
        policy_prefixes: a selection policy may be named by its path if its module is one of these, or under one.

    Raises:
        InvalidInput: its name, its latency objective or one of its options is not valid.
        AlreadyExists: its name is taken.
    """
    _check(application)
    _check_inputs(application)
    selection.check(application, policy_prefixes)
    if application.name in known.applications:
        raise AlreadyExists(f"application '{application.name}' already exists")
    return [Change.put(dataclasses.replace(application, registration=known.revision + 1))]


def delete(known: Configuration, name: str) -> list[Change]:
    """Deletes an application and, as its record holds them, its links.

    Raises:
        NotFound: there is none of that name.
    """
    change = known.deletion(Kind.APPLICATION, name)
    if change is None:
        raise NotFound(f"Application '{name}' does not exist")
    return [change]


def link(known: Configuration, app_name: str, model_names: Sequence[str]) -> list[Change]:
    """Links an application to models: to one in all, unless its selection policy takes several.

    Raises:
        NotFound: the application or a model is not registered; then no link is made.
        InvalidInput: no model is named, one is named twice, or several are where there can be one.
        AlreadyExists: a link exists.
        Conflict: a model's input type is another or its names are, or there would be too many links.
    """
    limits.check_count("models", len(model_names), limits.MOST_LINKS)
    application = known.applications.get(app_name)
    if application is None:
        raise NotFound(f"No app with name '{app_name}' exists.")
    for model_name in model_names:
        _check_compatible(known, application, model_name)
    if not model_names:
        raise InvalidInput(
            f"Please provide the name of the model that you want to link to the application '{app_name}'"
        )
    if application.selection_policy == SINGLE:
        _check_single_link(application, model_names)
    else:
        _check_several_links(application, model_names)
    linked = tuple(sorted((*application.linked_models, *model_names)))
    return [Change.put(dataclasses.replace(application, linked_models=linked))]


def unlink(known: Configuration, app_name: str, model_names: Sequence[str]) -> list[Change]:
    """Removes links.

    Raises:
        NotFound: the application is not registered, or not linked to one of the models; then no link is removed.
        LimitExceeded: these are more models than an application can be linked to.
    """
    limits.check_count("models", len(model_names), limits.MOST_LINKS)
    application = known.applications.get(app_name)
    if application is None:
        raise NotFound(f"No app with name {app_name} exists.")
    for model_name in model_names:
        if model_name not in application.linked_models:
            raise NotFound(f"Cannot remove nonexistent link between app {app_name} and model {model_name}")
    kept = tuple(name for name in application.linked_models if name not in model_names)
    if kept == application.linked_models:
        return []
    return [Change.put(dataclasses.replace(application, linked_models=kept))]


def linked_models(known: Configuration, app_name: str) -> tuple[str, ...]:
    """The names of the models that an application is linked to.

    Raises:
        NotFound: the application is not registered.
    """
    return find(known, app_name).linked_models


def find(known: Configuration, name: str) -> Application:
    """The application of this name.

    Raises:
        NotFound: there is none.
    """
    application = known.applications.get(name)
    if application is None:
        raise NotFound(f"No application with name '{name}' exists.")
    return application


def _check(application: Application) -> None:
    check_name("application name", application.name)
    limits.check_length("default output", application.default_output, limits.LONGEST_DEFAULT_OUTPUT)
    if application.latency_slo_micros <= 0:
        raise InvalidInput(
            f"The latency objective must be positive, but it is {application.latency_slo_micros} microseconds"
        )
    if application.priority not in PRIORITIES:
        known = ", ".join(f"'{priority}'" for priority in PRIORITIES)
        raise InvalidInput(f"Invalid priority '{application.priority}'. It must be one of {known}")
    if not _SMALLEST_SHARE <= application.share <= _LARGEST_SHARE:
        raise InvalidInput(
            f"The share must be between {_SMALLEST_SHARE:g} and {_LARGEST_SHARE:g}, but it is {application.share}"
        )
    if application.cache_ttl_micros < 0:
        raise InvalidInput(
            f"The time to live in the cache must not be negative, but it is {application.cache_ttl_micros} microseconds"
        )


def _check_inputs(application: Application) -> None:
    if application.missing not in MISSING:
        known = ", ".join(f"'{word}'" for word in MISSING)
        raise InvalidInput(f"Invalid missing '{application.missing}'. It must be one of {known}")
    if application.missing == "nan" and application.input_type not in _WITH_NAN:
        raise InvalidInput(
            f"There is no NaN among {application.input_type}, so missing='nan' is for floats and doubles"
        )
    if application.schema is not None:
        application.schema.check_type(application.input_type)


def _check_compatible(known: Configuration, application: Application, model_name: str) -> None:
    versions = _linkable_versions(known, model_name)
    if not versions:
        raise NotFound(f"No model with name '{model_name}' exists.")
    of_type = [version for version in versions if version.input_type is application.input_type]
    if not of_type:
        raise Conflict(
            f"Model with name '{model_name}' has incompatible input_type '{versions[0].input_type}'. "
            f"Requested app to link to has input_type '{application.input_type}'."
        )
    if not any(version.names_inputs_like(application) for version in of_type):
        raise Conflict(
            f"Model with name '{model_name}' has incompatible input_names ({listed(of_type[0].input_names)}). "
            f"The schema of the requested app to link to has the names ({listed(application.input_names)}): they must "
            "be the same, in the same order."
        )


def _linkable_versions(known: Configuration, model_name: str) -> list[ModelVersion]:
    """The versions that count for a link, by input type: the current one; every one while none is current."""
    versions = sorted(models.versions(known, model_name), key=lambda version: version.input_type)
    return [version for version in versions if models.is_current(known, version)] or versions


def _check_single_link(application: Application, model_names: Sequence[str]) -> None:
    if len(model_names) > 1:
        raise InvalidInput(
            f"Applications must be linked with at most one model. Attempted to add links to {len(model_names)} models."
        )
    _check_unlinked(application, model_names)
    if application.linked_models:
        raise Conflict(f"A model with name {application.linked_models[0]} is already linked to '{application.name}'.")


def _check_several_links(application: Application, model_names: Sequence[str]) -> None:
    if len(set(model_names)) < len(model_names):
        raise InvalidInput(f"A model is named twice: {', '.join(model_names)}")
    _check_unlinked(application, model_names)
    if len(application.linked_models) + len(model_names) > limits.MOST_LINKS:
        raise Conflict(
            f"Applications must be linked with at most {limits.MOST_LINKS} models. '{application.name}' has "
            f"{len(application.linked_models)}. Attempted to add links to {len(model_names)} models."
        )


def _check_unlinked(application: Application, model_names: Sequence[str]) -> None:
    for model_name in model_names:
        if model_name in application.linked_models:
            raise AlreadyExists(f"The model with name '{model_name}' is already linked to '{application.name}'")

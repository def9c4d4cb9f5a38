"""Applications and their links to models, as registered in a cluster."""

import logging
from collections.abc import Mapping
from typing import Any

from clipper_admin import remedies
from clipper_admin.admin_client import AdminClient
from clipper_admin.exceptions import ClipperException
from clipper_admin.logs import ClusterAdapter
from clipper_admin.naming import input_type_name
from clipper_admin.undoing import Undoing

_LOG = logging.getLogger(__name__)
_SCHEMA_KEYS = ("shape", "names", "minimum", "maximum", "ranges")


class Applications:
    """The applications of one cluster."""

    def __init__(self, client: AdminClient, cluster_name: str, undoing: Undoing) -> None:
        self._client = client
        self._undoing = undoing
        self._logger = ClusterAdapter(_LOG, cluster_name)

    def register(
        self, name: str, input_type: str, default_output: str, slo_micros: int, exist_ok: bool, **options: Any
    ) -> None:
        """Registers an application; the options are those of the admin REST.

        With `exist_ok` nothing happens if it is registered, just like this.
        """
        application = {
            "input_type": input_type,
            "default_output": default_output,
            "latency_slo_micros": slo_micros,
            **options,
            "schema": _plain(options.get("schema", {})),
        }
        try:
            self._client.post("add_app", {"name": name, **_without_empty_schema(application)})
        except ClipperException as refused:
            registered = self._find(name) if remedies.EXISTS in refused.msg else {}
            if not registered:
                raise
            asked = {**application, "input_type": input_type_name(input_type)}
            if exist_ok and not remedies.differences(registered, asked):
                self._logger.info("Application %s is registered already, just like this", name)
                return
            raise ClipperException(f"{refused.msg}. {remedies.for_application(registered, asked)}") from None
        self._undoing.note(lambda: self.unregister(name))
        self._logger.info("Application %s was successfully registered", name)

    def unregister(self, name: str) -> None:
        """Unregisters an application with its links."""
        self._client.post("delete_app", {"name": name})
        self._logger.info("Application %s was successfully unregistered", name)

    def link(self, app_name: str, model_name: str, exist_ok: bool) -> None:
        """Lets an application use a model; with `exist_ok` nothing happens if it does."""
        try:
            self._client.post("add_model_links", {"app_name": app_name, "model_names": [model_name]})
        except ClipperException as refused:
            linked_models = self.linked_models(app_name) if remedies.LINKED in refused.msg else []
            if not linked_models:
                raise
            if exist_ok and model_name in linked_models:
                self._logger.info("Model %s is linked to application %s already", model_name, app_name)
                return
            remedy = remedies.for_link(app_name, model_name, linked_models)
            raise ClipperException(f"{refused.msg}. {remedy}") from None
        self._undoing.note(lambda: self.unlink(app_name, model_name))
        self._logger.info("Model %s is now linked to application %s", model_name, app_name)

    def unlink(self, app_name: str, model_name: str) -> None:
        """Has an application use a model no longer."""
        self._client.post("delete_model_links", {"app_name": app_name, "model_names": [model_name]})
        self._logger.info("Model %s is no longer linked to application %s", model_name, app_name)

    def all(self, verbose: bool) -> list[Any]:
        """All applications: names or, if `verbose`, descriptions."""
        return list(self._client.post("get_all_applications", {"verbose": verbose}))

    def describe(self, name: str) -> dict[str, Any] | None:
        """An application's description; None when it is not registered."""
        description = self._find(name)
        if not description:
            self._logger.warning("Application %s is not registered with Clipper", name)
            return None
        return description

    def linked_models(self, name: str) -> list[str]:
        """The names of the models that an application is linked to."""
        return list(self._client.post("get_linked_models", {"app_name": name}))

    def selection_state(self, name: str, context: str) -> dict[str, Any]:
        """What an application's selection policy has learned in a context, with the policy and its arms."""
        return dict(self._client.post("get_selection_state", {"app_name": name, "context": context}))

    def delete_selection_state(self, name: str, context: str) -> None:
        """Forgets what was learned in a context, which starts afresh."""
        self._client.post("delete_selection_state", {"app_name": name, "context": context})
        self._logger.info("Selection state of context '%s' of application %s was successfully deleted", context, name)

    def selection_events(self, name: str, after: str, count: int) -> dict[str, Any]:
        """A page of an application's predictions and feedback, and where the next begins."""
        return dict(self._client.post("get_selection_events", {"app_name": name, "after": after, "count": count}))

    def _find(self, name: str) -> dict[str, Any]:
        return dict(self._client.post("get_application", {"name": name}))


def _without_empty_schema(application: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in application.items() if key != "schema" or value}


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema as it is shown, whatever sequences it was given in."""
    for key in schema:
        if key not in _SCHEMA_KEYS:
            known = ", ".join(f"'{each}'" for each in _SCHEMA_KEYS)
            raise ClipperException(f"A schema has no '{key}'. It may have {known}")
    return {key: [*value] if key in ("shape", "names") else value for key, value in schema.items()}

"""Predictions for those who ask: what they wait for before they are looked at, and how they reach the engine then."""

from services.common.errors import InvalidInput, NotFound
from services.common.input_schema import listed
from services.common.records import Application, ModelVersion, version_key
from services.query.api.asked import Asked
from services.query.api.prepared import PreparedDefault
from services.query.driver import Driver, Entrant
from services.query.engine.policies.selector import LONGEST_CONTEXT
from services.query.engine.requests import Request
from services.query.engine.versions import Route, Version
from services.query.redis_thread import QueryIds
from services.query.telemetry.recorder import Telemetry


class Predictor:
    """Stands between the callers and the driver, on the front's thread.

    Attributes:
        arrive: has a message enter or be turned away, soon; the driver's own, as each request pays for a call.
        cancel_with: forgets a request when the client of its call goes; likewise.
    """

    def __init__(self, driver: Driver, query_ids: QueryIds, telemetry: Telemetry) -> None:
        self._driver = driver
        self.arrive = driver.arrive
        self.cancel_with = driver.cancel_with
        self._query_ids = query_ids
        self._telemetry = telemetry
        self._prepared: dict[str, PreparedDefault] = {}

    def route(self, application: str) -> Route:
        """What is known of an application; NotFound when it is not registered."""
        route = self._driver.route(application)
        if route is None:
            why = self._driver.why_unknown(application)
            but = f" There is a record of that name, but it cannot be read: {why}" if why else ""
            raise NotFound(f"No application with name '{application}' exists.{but}")
        return route

    def submit(self, caller: Entrant, route: Route, asked: Asked) -> Request:
        """Hands a request to the engine; `caller` is delivered the answer, at once when there are no inputs.

        Raises:
            InvalidInput: the version is unknown or takes other inputs, or the context is too long.
        """
        version = route.version if asked.version is None else self._version(route, asked.version)
        if len(asked.context) > LONGEST_CONTEXT:
            raise InvalidInput(f"The context has more than {LONGEST_CONTEXT} characters")
        request = Request(
            route,
            version,
            asked.inputs,
            self._query_ids.take(len(asked.inputs)),
            caller.arrival_s,
            caller.deadline_s,
            caller,
            asked.context,
            explain=asked.explain,
            forbid_default=asked.forbid_default,
        )
        if asked.inputs:
            self._driver.submit(request)
        else:
            caller.deliver(request)
        return request

    def turn_away(self, message: Entrant, inputs: int, now_s: float) -> tuple[PreparedDefault, int]:
        """Counts what is answered without being looked at; returns the answers and the first query id of its own."""
        application = message.application
        self._telemetry.turned_away(application.name, inputs, message.arrival_s, now_s)
        prepared = self._prepared.get(application.name)
        if prepared is None or prepared.application is not application:
            prepared = self._prepared[application.name] = PreparedDefault(application)
        return prepared, self._query_ids.take(inputs)

    def cancel(self, request: Request) -> None:
        """Forgets a request whose client has gone."""
        self._driver.cancel(request)

    def _version(self, route: Route, wanted: str) -> Version | None:
        if not route.application.linked_models:
            return route.version
        if route.selector is not None:
            policy = route.application.selection_policy
            raise InvalidInput(f"A version cannot be asked for where the selection policy is '{policy}'")
        model = route.application.linked_models[0]
        version = self._driver.version(version_key(model, wanted))
        if version is None:
            raise InvalidInput(f"Requested version: {wanted} does not exist for model: {model}")
        _check_compatible(route.application, version.record)
        return version


def _check_compatible(application: Application, version: ModelVersion) -> None:
    """Checks of a version that was asked for what management has checked of the current one.

    Raises:
        InvalidInput: the version takes other inputs than the application.
    """
    asked = f"Requested version: {version.model_version} of model: {version.model_name}"
    if version.input_type is not application.input_type:
        raise InvalidInput(
            f"{asked} has incompatible input_type '{version.input_type}'. Application '{application.name}' has "
            f"input_type '{application.input_type}'."
        )
    if not version.names_inputs_like(application):
        raise InvalidInput(
            f"{asked} has incompatible input_names ({listed(version.input_names)}). The schema of application "
            f"'{application.name}' has the names ({listed(application.input_names)})."
        )

"""Predictions for those who ask: what they wait for before they are looked at, and how they reach the engine then."""

from collections.abc import Sequence

from clipper.v1 import query_service_pb2

from services.common.errors import InvalidInput, NotFound
from services.common.records import version_key
from services.query.api import json_predictions, protobuf
from services.query.api.prepared import PreparedDefault
from services.query.driver import Driver, Entrant
from services.query.engine.choosing.selector import LONGEST_CONTEXT
from services.query.engine.requests import Request
from services.query.engine.versions import Route, Version
from services.query.front import UnaryCall
from services.query.query_ids import QueryIds
from services.query.telemetry.recorder import Telemetry


class Predictor:
    """Stands between the callers and the driver, on the front's thread."""

    def __init__(self, driver: Driver, query_ids: QueryIds, telemetry: Telemetry) -> None:
        self._driver = driver
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

    def arrive(self, message: Entrant) -> None:
        """Has a message enter or be turned away, soon."""
        self._driver.arrive(message)

    def submit(self, caller: Entrant, proto: query_service_pb2.PredictRequest) -> Request:
        """Hands a native request to the engine; `caller` is delivered the answer, at once when there are no inputs.

        Raises:
            NotFound: the application is not registered.
            InvalidInput: the inputs are bad, the context is too long or the version is unknown.
        """
        route = self.route(proto.application)
        inputs = protobuf.inputs(proto.inputs, route.application.input_type)
        version = self._version(route, proto.version if proto.HasField("version") else None)
        return self._submit(
            caller,
            route,
            version,
            inputs,
            proto.context,
            explain=proto.explain,
            forbid_default=proto.forbid_default,
        )

    def submit_json(self, caller: Entrant, body: json_predictions.PredictBody) -> Request:
        """Hands a REST request to the engine, likewise; raises the same."""
        route = self.route(caller.application.name)
        inputs = json_predictions.pack(body, route.application.input_type)
        version = self._version(route, body.version)
        return self._submit(
            caller,
            route,
            version,
            inputs,
            body.context,
            explain=body.explain,
            forbid_default=body.forbid_default,
        )

    def turn_away(self, message: Entrant, inputs: int, now_s: float) -> tuple[PreparedDefault, int]:
        """Counts what is answered without being looked at; returns the answers and the first query id of its own."""
        application = message.application
        self._telemetry.turned_away(application.name, inputs, message.arrival_s, now_s)
        prepared = self._prepared.get(application.name)
        if prepared is None or prepared.application is not application:
            prepared = self._prepared[application.name] = PreparedDefault(application)
        return prepared, self._query_ids.take(inputs)

    def cancel_with(self, call: UnaryCall, request: Request) -> None:
        """Forgets a request when the client of its call goes."""
        self._driver.cancel_with(call, request)

    def cancel(self, request: Request) -> None:
        """Forgets a request whose client has gone."""
        self._driver.cancel(request)

    def _version(self, route: Route, wanted: str | None) -> Version | None:
        if wanted is None or not route.application.linked_models:
            return route.version
        if route.selector is not None:
            policy = route.application.selection_policy
            raise InvalidInput(f"A version cannot be asked for where the selection policy is '{policy}'")
        model = route.application.linked_models[0]
        version = self._driver.version(version_key(model, wanted))
        if version is None:
            raise InvalidInput(f"Requested version: {wanted} does not exist for model: {model}")
        return version

    def _submit(
        self,
        caller: Entrant,
        route: Route,
        version: Version | None,
        inputs: Sequence[bytes],
        context: str,
        *,
        explain: bool,
        forbid_default: bool,
    ) -> Request:
        if len(context) > LONGEST_CONTEXT:
            raise InvalidInput(f"The context has more than {LONGEST_CONTEXT} characters")
        request = Request(
            route,
            version,
            inputs,
            self._query_ids.take(len(inputs)),
            caller.arrival_s,
            caller.deadline_s,
            caller,
            context,
            explain=explain,
            forbid_default=forbid_default,
        )
        if inputs:
            self._driver.submit(request)
        else:
            caller.deliver(request)
        return request

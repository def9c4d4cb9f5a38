"""The RPCs of the management service: each converts, decides through the store, and converts back.

Their contract is management_service.proto; what is allowed is decided in `applications`, `models` and `replicas`. A
change is answered when every query service works by it.
"""

# ruff: noqa: D102, N802  the RPCs have the names and the documentation of the contract

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc.aio
from clipper.v1 import management_service_pb2 as pb
from clipper.v1 import management_service_pb2_grpc as pb_grpc

from services.common.errors import StoreUnavailable
from services.common.names import SINGLE
from services.common.records import Application, Change, Configuration, Replica, version_key
from services.common.selection_records import ContextKey, State
from services.management import applications, convert, models, replicas, rest
from services.management.leases import Leases
from services.store import Decision, Store

_LOG = logging.getLogger(__name__)
_IN_FORCE_WITHIN_S = 1.0

Context = grpc.aio.ServicerContext[Any, Any]


class ManagementServicer(pb_grpc.ManagementServiceServicer):
    """The management service's edge."""

    def __init__(self, store: Store, leases: Leases, policy_prefixes: Sequence[str] = ()) -> None:
        self._store = store
        self._policy_prefixes = policy_prefixes
        self._leases = leases

    async def Ping(self, request: pb.PingRequest, context: Context) -> pb.PingResponse:
        return pb.PingResponse(rest=convert.text(rest.PONG))

    async def AddApplication(self, request: pb.AddApplicationRequest, context: Context) -> pb.AddApplicationResponse:
        application = convert.application(request)
        await self._change(lambda known: applications.add(known, application, self._policy_prefixes))
        return pb.AddApplicationResponse(rest=convert.text(rest.application_added(application)))

    async def DeleteApplication(
        self, request: pb.DeleteApplicationRequest, context: Context
    ) -> pb.DeleteApplicationResponse:
        name = convert.complete(request).name
        deleted: Application | None = None

        def decide(known: Configuration) -> Sequence[Change]:
            nonlocal deleted
            deleted = known.applications.get(name)
            return applications.delete(known, name)

        await self._change(decide)
        # What an unreadable record had learned under is not known; it lapses by itself.
        if deleted is not None:
            await self._store.delete_application(name, deleted.registration)
        return pb.DeleteApplicationResponse(rest=convert.text(rest.application_deleted(name)))

    async def GetApplication(self, request: pb.GetApplicationRequest, context: Context) -> pb.GetApplicationResponse:
        name = convert.complete(request).name
        known = await self._store.snapshot()
        return convert.get_application(known.applications.get(name))

    async def GetAllApplications(
        self, request: pb.GetAllApplicationsRequest, context: Context
    ) -> pb.GetAllApplicationsResponse:
        verbose = convert.complete(request).verbose
        return convert.get_all_applications(await self._store.snapshot(), verbose)

    async def AddModel(self, request: pb.AddModelRequest, context: Context) -> pb.AddModelResponse:
        version = convert.model_version(request)
        await self._change(lambda known: models.add(known, version, replace=request.replace))
        return pb.AddModelResponse(rest=convert.text(rest.model_added(version)))

    async def DeleteModelVersion(
        self, request: pb.DeleteModelVersionRequest, context: Context
    ) -> pb.DeleteModelVersionResponse:
        name, version = convert.version_id(request)
        await self._change(lambda known: models.delete(known, name, version))
        return pb.DeleteModelVersionResponse(rest=convert.text(rest.model_deleted(name, version)))

    async def SetModelVersion(self, request: pb.SetModelVersionRequest, context: Context) -> pb.SetModelVersionResponse:
        name, version = convert.version_id(request)
        await self._change(lambda known: models.set_current(known, name, version))
        return pb.SetModelVersionResponse(rest=convert.text(rest.version_set(name, version)))

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        name, version = convert.version_id(request)
        known = await self._store.snapshot()
        return convert.get_model(known, known.model_versions.get(version_key(name, version)))

    async def GetAllModels(self, request: pb.GetAllModelsRequest, context: Context) -> pb.GetAllModelsResponse:
        verbose = convert.complete(request).verbose
        return convert.get_all_models(await self._store.snapshot(), verbose)

    async def AddModelLinks(self, request: pb.AddModelLinksRequest, context: Context) -> pb.AddModelLinksResponse:
        app_name, model_names = convert.links(request)
        await self._change(lambda known: applications.link(known, app_name, model_names))
        return pb.AddModelLinksResponse(rest=convert.text(rest.links_added(app_name, model_names)))

    async def DeleteModelLinks(
        self, request: pb.DeleteModelLinksRequest, context: Context
    ) -> pb.DeleteModelLinksResponse:
        app_name, model_names = convert.links(request)
        await self._change(lambda known: applications.unlink(known, app_name, model_names))
        return pb.DeleteModelLinksResponse(rest=convert.text(rest.LINKS_DELETED))

    async def GetLinkedModels(self, request: pb.GetLinkedModelsRequest, context: Context) -> pb.GetLinkedModelsResponse:
        app_name = convert.complete(request).app_name
        known = await self._store.snapshot()
        return convert.get_linked_models(applications.linked_models(known, app_name))

    async def GetReplica(self, request: pb.GetReplicaRequest, context: Context) -> pb.GetReplicaResponse:
        name, version = convert.version_id(request)
        known = await self._store.snapshot()
        return convert.get_replica(replicas.find(known, name, version, request.replica_id))

    async def GetAllReplicas(self, request: pb.GetAllReplicasRequest, context: Context) -> pb.GetAllReplicasResponse:
        verbose = convert.complete(request).verbose
        known, ages_s = await self._store.snapshot(), await self._leases.ages_s()
        # Whoever waits for a replica wants to use it.
        await self._wait_until_in_force(known)
        return convert.get_all_replicas(known, ages_s, verbose)

    async def GetState(self, request: pb.GetStateRequest, context: Context) -> pb.GetStateResponse:
        app_name = convert.complete(request).app_name
        application = await self._application(app_name)
        if application.selection_policy == SINGLE:
            state = application.default_output
        else:
            state = rest.to_json(await self._state(application, str(request.uid)))
        return pb.GetStateResponse(state=state, rest=convert.text(state))

    async def GetSelectionState(
        self, request: pb.GetSelectionStateRequest, context: Context
    ) -> pb.GetSelectionStateResponse:
        app_name, user = convert.context(request)
        application = await self._application(app_name)
        return convert.get_selection_state(application, await self._state(application, user))

    async def DeleteSelectionState(
        self, request: pb.DeleteSelectionStateRequest, context: Context
    ) -> pb.DeleteSelectionStateResponse:
        app_name, user = convert.context(request)
        application = await self._application(app_name)
        await self._store.delete_context(ContextKey(app_name, application.registration, user))
        return pb.DeleteSelectionStateResponse(rest=convert.text(rest.state_deleted(app_name, user)))

    async def GetSelectionEvents(
        self, request: pb.GetSelectionEventsRequest, context: Context
    ) -> pb.GetSelectionEventsResponse:
        app_name, after, count = convert.events_page(request)
        application = await self._application(app_name)
        page = await self._store.events(app_name, application.registration, after, count)
        return convert.get_selection_events(page.events, page.next_after)

    async def HoldReplicaLease(
        self, request_iterator: AsyncIterator[pb.HoldReplicaLeaseRequest], context: Context
    ) -> AsyncIterator[pb.HoldReplicaLeaseResponse]:
        replica: Replica | None = None
        async for request in self._leases.until_drained(request_iterator):
            if replica is None:
                replica = await self._leases.open(convert.applicant(request))
            elif not request.release:
                await self._leases.renew(replica)
            if request.release:
                await self._leases.release(replica)
                return
            yield convert.lease(replica, self._leases.time_to_live_s)

    async def _application(self, name: str) -> Application:
        return applications.find(await self._store.snapshot(), name)

    async def _state(self, application: Application, context: str) -> State:
        key = ContextKey(application.name, application.registration, context)
        [state] = await self._store.read_states([key])
        if state is None:
            raise ValueError(f"the state of {key} cannot be read")
        return dict(sorted(state.items()))

    async def _change(self, decide: Decision) -> None:
        await self._wait_until_in_force(await self._store.update(decide))

    async def _wait_until_in_force(self, configuration: Configuration) -> None:
        try:
            followed = await self._store.wait_until_followed(configuration.revision, _IN_FORCE_WITHIN_S)
        except StoreUnavailable:
            followed = False
        if not followed:
            # The change is made; a query service that hangs or was just killed must not make it look as if not.
            _LOG.warning("not all query services have followed", extra={"revision": configuration.revision})

"""The query service, put together: the only place where its parts meet."""

import contextlib
import gc
import logging
import time

from grpc_health.v1 import health as grpc_health
from grpc_reflection.v1alpha import reflection as grpc_reflection

from services.common.names import QUERY_SERVICE
from services.common.quarantine import Quarantine
from services.query.api.health import Health
from services.query.api.reflection import Reflection
from services.query.api.request_limits import RequestLimits
from services.query.api.servicer import QueryServicer
from services.query.driver import Driver, Entrant
from services.query.engine.admission import Admission
from services.query.engine.engine import Engine
from services.query.engine.policies.registry import Policies
from services.query.front import Front, Loop
from services.query.processes.parent_link import ParentLink
from services.query.redis_thread import Catalog, Journal, QueryIdSupply, RedisThread
from services.query.replicas.link import ReplicaLink
from services.query.settings import Settings
from services.query.telemetry.exposition import CountsCollector
from services.query.telemetry.metrics_port import MetricsPort
from services.query.telemetry.recorder import Telemetry
from services.store import Store

_LOG = logging.getLogger(__name__)

# Requests are freed by reference counting, so the collector finds nothing; at its default threshold it would look
# through every waiting request many times a second.
_COLLECT_AFTER_ALLOCATIONS = 100_000
_MOST_UNANSWERED_IN_A_STREAM = 1024
# What waits to be looked at: so many inputs, and as large as so many of the largest messages together. The models'
# queues may be much shorter, and much of it may have no need of them.
_MOST_WAITING_INPUTS = 100_000
_MOST_WAITING_MESSAGES = 4
# Connections stay with the process that they met; those of a process that died would leave its successor idle.
_CONNECTION_AGE_AMONG_PROCESSES_S = 60.0


class QueryServer:
    """A running query service, or one of the processes of one."""

    def __init__(self, settings: Settings, parent: ParentLink | None = None) -> None:
        """Starts everything; returns when predictions are served, however long Redis takes to be there.

        Args:
            settings: what was set.
            parent: who shows the metrics of all the processes that share the address; None for a service of one.

        Raises:
            OSError: an address cannot be bound.
        """
        self._settings = settings
        self._parent = parent
        policies, quarantine = Policies(settings.policy_prefixes), Quarantine()
        engine = Engine(settings.cache_size_bytes, settings.queue_capacity, policies=policies)
        store = Store.connect(settings.redis_url, predictions_kept=settings.awaited_predictions)
        self._redis = RedisThread(store)
        journal, query_ids = Journal(store, self._redis), QueryIdSupply(store)
        loop = Loop()
        self._telemetry = Telemetry(engine, journal, quarantine, loop.lag_micros, self._refuses_store)
        admission = Admission[Entrant](_MOST_WAITING_INPUTS, _MOST_WAITING_MESSAGES * settings.max_message_bytes)
        self._driver = Driver(engine, admission, loop, self._telemetry, ReplicaLink, journal, policies, quarantine)
        self._catalog = Catalog(store, self._redis, self._driver.post_configuration, quarantine)
        self._health = Health(self._is_behind, self._refuses_store)
        self._metrics: MetricsPort | None = None
        with contextlib.ExitStack() as on_failure:
            self._redis.start(self._catalog, journal, query_ids)
            on_failure.callback(self._redis.close)
            self._catalog.wait()
            query_ids.wait()
            if parent is None:
                self._metrics = MetricsPort(settings.metrics_address, CountsCollector(self._telemetry.counts))
                on_failure.callback(self._metrics.close)
            limits = RequestLimits(settings.max_inputs)
            self._front = self._make_front(loop, QueryServicer(self._driver, query_ids.ids, self._telemetry, limits))
            on_failure.pop_all()
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER_ALLOCATIONS)
        self._front.start()
        self._health.open()
        self._say_serving()

    def _is_behind(self) -> bool:
        is_behind = self._catalog.is_behind
        return is_behind if self._parent is None else self._parent.is_one_behind(is_behind)

    def _refuses_store(self) -> bool:
        return self._catalog.refuses_store

    def _say_serving(self) -> None:
        if self._parent is not None:
            self._parent.say_serving(self._telemetry.counts)
        elif self._metrics is not None:
            _LOG.info("serving", extra={"port": self._front.port, "metrics_port": self._metrics.port})

    def _make_front(self, loop: Loop, servicer: QueryServicer) -> Front:
        return Front(
            loop,
            self._settings.address,
            {
                f"/{QUERY_SERVICE}/Predict": servicer.predict,
                f"/{QUERY_SERVICE}/PredictJson": servicer.predict_json,
                f"/{QUERY_SERVICE}/Feedback": servicer.feedback,
                f"/{QUERY_SERVICE}/FeedbackJson": servicer.feedback_json,
                f"/{QUERY_SERVICE}/GetMetrics": self._parent.get_metrics if self._parent else servicer.get_metrics,
                f"/{grpc_health.SERVICE_NAME}/Check": self._health.check,
            },
            {
                f"/{QUERY_SERVICE}/PredictStream": servicer.predict_stream,
                f"/{grpc_health.SERVICE_NAME}/Watch": self._health.watch,
                f"/{grpc_reflection.SERVICE_NAME}/ServerReflectionInfo": Reflection,
            },
            max_message_bytes=self._settings.max_message_bytes,
            max_unanswered=_MOST_UNANSWERED_IN_A_STREAM,
            reuse_port=self._parent is not None,
            max_connection_age_s=_CONNECTION_AGE_AMONG_PROCESSES_S if self._parent else None,
        )

    def close(self) -> None:
        """Drains: says NOT_SERVING, in a while accepts no more, answers what it has, then ends its threads."""
        self._health.drain()
        time.sleep(self._settings.lame_duck_s)
        self._health.close()
        self._front.drain(self._settings.drain_grace_s)
        self._redis.close()
        self._driver.close()
        self._telemetry.close()
        if self._metrics is not None:
            self._metrics.close()
        _LOG.info("drained")

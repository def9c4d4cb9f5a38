"""All that a query service has to do with Redis, on one thread: its configuration, its query ids, and its journal."""

from services.query.redis_thread.catalog import Catalog
from services.query.redis_thread.journal import Journal
from services.query.redis_thread.query_ids import QueryIds, QueryIdSupply
from services.query.redis_thread.thread import RedisThread

__all__ = ["Catalog", "Journal", "QueryIdSupply", "QueryIds", "RedisThread"]

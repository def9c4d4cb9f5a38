"""The journal: what a query service records and reads in Redis of its predictions, and has learned there."""

from services.query.journal.journal import Journal

__all__ = ["Journal"]

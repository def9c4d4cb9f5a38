"""The journal: what a query service records of its predictions, and learns from feedback, in Redis."""

from services.query.journal.feedback import Feedback, FeedbackResult, FeedbackStatus
from services.query.journal.journal import Journal

__all__ = ["Feedback", "FeedbackResult", "FeedbackStatus", "Journal"]

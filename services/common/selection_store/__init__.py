"""The selection layer in Redis: what policies have learned, the predictions that await feedback, and what happened.

With `store`, it is the only one to know Redis. Whatever changes several keys is a script, hence one step. {owner} is an
application's name and its registration, as name:revision, so that one that is registered again starts afresh.

    {prefix}:selection:{owner}:{context}    hash: name -> number: a context's state; lives for the application's
                                            context_ttl_s after each change
    {prefix}:selection_contexts:{owner}     sorted set: context -> Unix time in ms of the last change of its state
    {prefix}:recordings:{owner}:{query id >> 7}
                                            set: when the predictions with these ids were recorded, which is the first
                                            half of their ids in the stream below; lives for the application's
                                            feedback_window_s and a minute
    {prefix}:learned:{owner}:queries:{query id >> 10}
                                            bitmap by the id's low bits: what was learned from; lives as long
    {prefix}:learned:{owner}:feedback:{feedback id}
                                            there if that was learned; lives as long
    {prefix}:selection_predictions:{owner}  stream of the newest predictions: id "{Unix time in ms}-{query id}", field
                                            "prediction" = JSON; the oldest make way when there are too many
    {prefix}:selection_feedback:{owner}     stream of the newest feedback, field "feedback" = JSON; both live for
                                            context_ttl_s after the last event
    {prefix}:applications                   of the configuration; nothing is written for whom it does not hold
"""

from services.common.selection_store.events import Events
from services.common.selection_store.store import SelectionStore

__all__ = ["Events", "SelectionStore"]

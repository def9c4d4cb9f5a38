"""Which feedback an application can make sense of."""

import math

import pytest

from services.common.errors import InvalidInput
from services.common.names import InputType
from services.common.records import Application
from services.query.engine.feedback import FeedbackItem, FeedbackRequest
from services.query.engine.requests import NOBODY
from services.query.engine.versions import Route

_CLASSES = Application("app", InputType.DOUBLES, "", 1_000)
_NUMBERS = Application("app", InputType.DOUBLES, "", 1_000, loss="squared")


@pytest.mark.parametrize(
    "item",
    [
        FeedbackItem(query_id=0, label=""),
        FeedbackItem(query_id=2**64 - 1, reward=0.0),
        FeedbackItem(query_id=1, reward=1.0, feedback_id="x" * 1_024),
        FeedbackItem(input=b"", label="cat", context="ann"),
    ],
)
def test_a_prediction_or_an_input_with_a_label_or_a_reward_makes_sense(item: FeedbackItem) -> None:
    item.check(_CLASSES)


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (FeedbackItem(label="x"), "either a query id or an input"),
        (FeedbackItem(query_id=1, input=b"", label="x"), "either a query id or an input"),
        (FeedbackItem(query_id=1), "either a label or a reward"),
        (FeedbackItem(query_id=1, label="x", reward=1.0), "either a label or a reward"),
        (FeedbackItem(query_id=-1, label="x"), "-1 is no query id"),
        (FeedbackItem(query_id=2**64, label="x"), "is no query id"),
        (FeedbackItem(query_id=1, reward=1.1), "A reward is from 0 to 1, but it is 1.1"),
        (FeedbackItem(query_id=1, reward=math.nan), "A reward is from 0 to 1, but it is nan"),
        (FeedbackItem(input=b"", reward=1.0), "it needs the query id"),
        (FeedbackItem(input=b"", label="x", context="x" * 1_025), "The context has more than 1024 characters"),
        (FeedbackItem(query_id=1, label="x", feedback_id=""), "A feedback id has 1 to 1024 characters"),
        (FeedbackItem(query_id=1, label="x", feedback_id="x" * 1_025), "A feedback id has 1 to 1024 characters"),
    ],
)
def test_anything_else_is_refused(item: FeedbackItem, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        item.check(_CLASSES)


def test_a_loss_of_numbers_needs_a_label_that_is_one() -> None:
    FeedbackItem(query_id=1, label="6.5").check(_NUMBERS)
    with pytest.raises(InvalidInput, match="The label 'cat' is no finite number"):
        FeedbackItem(query_id=1, label="cat").check(_NUMBERS)


def test_a_request_with_an_item_that_makes_no_sense_is_refused_as_a_whole() -> None:
    items = [FeedbackItem(query_id=1, label="6.5"), FeedbackItem(query_id=1, label="cat")]
    with pytest.raises(InvalidInput, match="The label 'cat' is no finite number"):
        FeedbackRequest(Route(_NUMBERS, {}), items, 0, NOBODY)

"""The JSON of feedback, clause by clause."""

import struct
from typing import Any

import pytest

from services.common.errors import InvalidInput
from services.common.lessons import FeedbackStatus
from services.common.names import InputType
from services.common.records import Application
from services.query.api.json_feedback import answer, parse
from services.query.api.request_limits import RequestLimits
from services.query.engine.feedback import FeedbackItem

_LIMITS = RequestLimits(max_inputs=8)
_APPLICATION = Application("app", InputType.DOUBLES, "", 1)


def _item(body: bytes, input_type: InputType = InputType.DOUBLES) -> FeedbackItem:
    """The only item of a body."""
    parsed = parse(body, Application("app", input_type, "", 1), _LIMITS)
    assert not parsed.is_batch
    (item,) = parsed.items
    return item


def test_feedback_is_on_a_prediction_by_its_query_id() -> None:
    assert _item(b'{"query_id":9007199254740991,"label":"cat"}') == FeedbackItem(query_id=2**53 - 1, label="cat")


def test_feedback_is_on_an_input_in_a_context() -> None:
    item = _item(b'{"input":[1,2.5],"label":"cat","uid":7,"feedback_id":"f1"}')
    assert item == FeedbackItem(input=struct.pack("<2d", 1, 2.5), label="cat", context="7", feedback_id="f1")


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ('"cat"', "cat"),
        ('""', ""),
        ("6", "6"),
        ("6.0", "6.0"),
        ("-1e-7", "-1e-7"),
        ("true", "true"),
        ("false", "false"),
    ],
)
def test_a_label_is_text_a_number_or_a_boolean(label: str, text: str) -> None:
    assert _item(b'{"query_id":1,"label":%b}' % label.encode()).label == text


@pytest.mark.parametrize(("reward", "number"), [("1", 1.0), ("0.25", 0.25), ("0", 0.0)])
def test_a_reward_is_a_number(reward: str, number: float) -> None:
    assert _item(b'{"query_id":1,"reward":%b}' % reward.encode()).reward == number


def test_a_feedback_id_may_be_a_number() -> None:
    assert _item(b'{"query_id":1,"label":"x","feedback_id":12}').feedback_id == "12"


def test_a_batch_is_many_such_objects_in_order() -> None:
    body = parse(b'{"feedback":[{"query_id":1,"label":"a"},{"input":[],"label":"b"}]}', _APPLICATION, _LIMITS)
    assert body.is_batch
    assert body.items == [FeedbackItem(query_id=1, label="a"), FeedbackItem(input=b"", label="b")]


def test_an_empty_batch_is_a_batch() -> None:
    assert parse(b'{"feedback":[]}', _APPLICATION, _LIMITS) == ([], True)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "JSON parse error"),
        (b"[]", "Can only get key-value pair from an object"),
        (b'{"feedback":{}}', "JSON key feedback expected type Array but found type Object"),
        (b'{"feedback":[1]}', "Can only get key-value pair from an object"),
        (b'{"query_id":"1","label":"x"}', "JSON key query_id expected type Int but found type String"),
        (b'{"query_id":true,"label":"x"}', "JSON key query_id expected type Int but found type Bool"),
        (b'{"query_id":1.5,"label":"x"}', "JSON key query_id expected type Int but found type Number"),
        (b'{"query_id":1,"label":[1]}', "JSON key label expected type String but found type Array"),
        (b'{"query_id":1,"reward":"1"}', "JSON key reward expected type Number but found type String"),
        (b'{"query_id":1,"reward":true}', "JSON key reward expected type Number but found type Bool"),
        (b'{"query_id":1,"label":"x","feedback_id":{}}', "JSON key feedback_id expected type String"),
        (b'{"input":[],"label":"x","uid":[]}', "JSON key uid expected type String but found type Array"),
        (b'{"input":"x","label":"x"}', "PredictionData of type String is not of type array of doubles"),
        (b'{"input":[true],"label":true}', "Array input of type Bool is not of type double"),
    ],
)
def test_what_is_wrong_is_told(body: bytes, detail: str) -> None:
    with pytest.raises(InvalidInput, match="^Error parsing JSON: .*" + detail.replace("(", r"\(")):
        parse(body, _APPLICATION, _LIMITS)


def test_a_boolean_label_is_no_boolean_input() -> None:
    assert _item(b'{"input":[1],"label":true}').label == "true"


@pytest.mark.parametrize(
    ("statuses", "is_batch", "body"),
    [
        ([FeedbackStatus.LEARNED], False, b'{"feedback":"learned"}'),
        ([FeedbackStatus.ALREADY_LEARNED], False, b'{"feedback":"already learned"}'),
        ([FeedbackStatus.LEARNED, FeedbackStatus.UNKNOWN_QUERY], True, b'{"feedback":["learned","unknown query"]}'),
        ([FeedbackStatus.LEARNED], True, b'{"feedback":["learned"]}'),
        ([], True, b'{"feedback":[]}'),
    ],
)
def test_the_answer_says_what_became_of_it(statuses: Any, is_batch: bool, body: bytes) -> None:
    assert answer(statuses, is_batch) == body
